"""What docs/inference.md tells users to paste."""

import json
import re
import shutil

from tests.helpers.recipes import ROOT

PAGE = (ROOT / "docs" / "inference.md").read_text()


def test_the_python_runs(models, digits, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "output" / "digits").mkdir(parents=True)
    (tmp_path / "output" / "digits" / "inference").symlink_to(models / "inference")
    shutil.copytree(digits / "val", tmp_path / "photos")
    shutil.copy(digits / "val" / "004.png", tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    assert len(capsys.readouterr().out.splitlines()) == 40
    assert names["first"]["file_name"] == "image 1"
    assert names["second"]["file_name"] == "photo.jpg"
    assert names["best"] == names["answer"]["class_ids"][0]


def test_the_results_have_the_keys_that_are_shown(models, digits, tmp_path):
    from ppcls import Predictor

    shown, several = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "page.jpg").write_text("<html></html>")
    answers = Predictor(models / "inference", "onnx", topk=2).predict(
        [digits / "val" / "000.png", tmp_path / "page.jpg"]
    )
    assert [list(answer) for answer in answers] == [list(answer) for answer in json.loads(shown)]
    assert answers[1]["error"] == json.loads(shown)[1]["error"]
    assert [list(answer) for answer in json.loads(several)] == [list(answers[0])] * 2
