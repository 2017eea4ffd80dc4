"""The answers that docs/inference.md shows have the keys of real ones."""

import json
import re

from tests.helpers.recipes import ROOT

PAGE = (ROOT / "docs" / "inference.md").read_text()


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
