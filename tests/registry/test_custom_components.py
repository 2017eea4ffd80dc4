"""The file of docs/your_own.md: trained, evaluated, exported and used with, and refused without it."""

import json
import re
import textwrap

import numpy as np
import pytest
import yaml

import ppcls
from ppcls.errors import ConfigError
from ppcls.utils.digests import sha256
from tests.helpers.recipes import ROOT

PAGE = (ROOT / "docs" / "your_own.md").read_text()
PARTS, RECIPE = (re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL).group(1) for kind in ("python", "yaml"))


def write(path, text):
    path.write_text(textwrap.dedent(text))
    return path


@pytest.fixture
def mine(tmp_path, digits):
    """Return a folder with the page's two files, the recipe made to train for one epoch on ``digits``."""
    (tmp_path / "my_parts.py").write_text(PARTS)
    values = yaml.safe_load(RECIPE)
    values["Global"].update(epochs=1, device="cpu", use_visualdl=False)
    values["Optimizer"] = {"lr": {"warmup_epoch": 0}}
    for side, prefix in (("Train", "train"), ("Eval", "val")):
        section = values["DataLoader"][side]
        section["dataset"].update(image_root=str(digits), cls_label_path=f"{digits}/{prefix}_list.txt")
        section.update(sampler={"batch_size": 20}, loader={"num_workers": 1 if side == "Train" else 0})
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(values))
    return tmp_path


def test_the_page_is_about_thirty_lines():
    code = [line for line in PARTS.splitlines() if line.strip()]
    assert len(code) <= 30


def test_train_evaluate_export_and_infer_with_components_of_ones_own(mine, digits, run):
    """The commands of docs/your_own.md, and what they say without the file."""
    run("train", "-c", "mine.yaml", cwd=mine)
    digest = sha256(mine / "my_parts.py")
    record = {"name": "my_parts.py", "path": str(mine / "my_parts.py"), "sha256": digest}
    out = mine / "output" / "mine"
    kept = yaml.safe_load((out / "config.yaml").read_text())["Global"]
    assert (kept["imports"], kept["imported"]) == ([], [record])
    saved = json.loads((out / "best_model.pdstates").read_text())["config"]["Global"]
    assert (saved["imports"], saved["imported"]) == ([], [record])

    weights = "Global.pretrained_model=output/mine/best_model"
    assert "top1" in json.loads(run("eval", "-c", "mine.yaml", "-o", weights, cwd=mine).stdout)
    advice = f"was made with my_parts.py: add --import {mine}/my_parts.py"
    for command in (
        ("export", "output/mine"),
        ("infer", "output/mine", digits / "val"),
        ("eval", "-c", "output/mine/config.yaml", "-o", weights),
        ("compare", "output/mine", "output/mine"),
    ):
        assert advice in run(*command, code=2, cwd=mine).stderr
    run("export", "output/mine", "--import", "my_parts.py", cwd=mine)
    described = yaml.safe_load((out / "inference" / "inference.yml").read_text())
    assert described["PreProcess"]["imports"] == described["Model"]["imports"] == [record]

    assert advice in run("infer", "output/mine/inference", digits / "val", code=2, cwd=mine).stderr
    imported = ("--import", "my_parts.py")
    answers = json.loads(run("infer", "output/mine/inference", digits / "val", *imported, cwd=mine).stdout)
    of_run = json.loads(run("infer", "output/mine", digits / "val", *imported, cwd=mine).stdout)
    assert [answer["class_ids"] for answer in answers] == [answer["class_ids"] for answer in of_run]
    assert len(answers) == 40
    counts = json.loads(run("compare", "output/mine", "output/mine/inference", *imported, cwd=mine).stdout)["counts"]
    assert sum(counts.values()) == counts["both right"] + counts["neither right"] == 40


def test_predictor_takes_imports_and_warns_of_another_version(mine, run, log):
    run("train", "-c", "mine.yaml", cwd=mine)
    run("export", "output/mine", "--import", "my_parts.py", cwd=mine)
    export = mine / "output" / "mine" / "inference"
    with pytest.raises(ConfigError, match=r"inference was made with my_parts\.py: add --import .*import_components"):
        ppcls.Predictor(export)
    (mine / "my_parts.py").write_text(PARTS + "\n")
    predictor = ppcls.Predictor(export, imports=[str(mine / "my_parts.py")])
    assert "was made with another version of my_parts.py" in log()
    image = np.full((32, 32, 3), 100, np.uint8)
    assert len(predictor.predict(image)[0]["class_ids"]) == 3


def test_a_run_continues_with_a_changed_file_and_says_so(mine, run):
    run("train", "-c", "mine.yaml", cwd=mine)
    with (mine / "my_parts.py").open("a") as file:
        file.write("\n# changed\n")
    more = ("-o", "Global.epochs=2", "Global.checkpoints=auto")
    done = run("train", "-c", "mine.yaml", *more, cwd=mine)
    assert f"output/mine/latest was made with another version of my_parts.py ({mine}/my_parts.py)" in done.stderr
    assert json.loads(done.stdout)["epoch"] in (1, 2)


def test_workers_that_are_not_forked_import_the_file_themselves(mine, monkeypatch):
    from ppcls.data.loader import pool
    from ppcls.engine.data import build_loader

    config = ppcls.load_config(mine / "mine.yaml")
    with build_loader(config, "Train") as loader:
        (first, *_) = loader.epoch(0)
    monkeypatch.setattr(pool, "can_fork", lambda: False)
    with build_loader(config, "Train") as loader:
        (again, *_) = loader.epoch(0)
    np.testing.assert_array_equal(again.images, first.images)


def test_commands_show_what_is_registered(mine, run):
    (row,) = json.loads(run("models", "TwoC*", "--json", "--import", "my_parts.py", cwd=mine).stdout)
    assert row == {"name": "TwoConvs", "imported": str(mine / "my_parts.py")}
    schema = json.loads(run("config", "--json-schema", "--import", "my_parts.py", cwd=mine).stdout)
    assert schema["$defs"]["loss.item"]["properties"]["FocalError"]
    assert "TwoConvs" in schema["$defs"]["ArchSection"]["properties"]["name"]["enum"]
    (mine / "sub").mkdir()
    shown = run("config", "-c", "../mine.yaml", cwd=mine / "sub").stdout
    (mine / "sub" / "shown.yaml").write_text(shown)
    assert run("config", "-c", "sub/shown.yaml", cwd=mine).stdout.count(str(mine / "my_parts.py")) >= 2


def test_paths_of_a_recipe_are_relative_to_the_file_that_they_are_written_in(mine, monkeypatch):
    (mine / "deep").mkdir()
    top = write(mine / "deep" / "top.yaml", "_base_: ../mine.yaml\nGlobal: {epochs: 3}\n")
    monkeypatch.chdir("/")
    assert ppcls.load_config(top).Arch.name == "TwoConvs"
    with pytest.raises(
        ConfigError, match=r"-o Global\.imports=\[my_parts\.py\]: Global\.imports: my_parts\.py: no such file"
    ):
        ppcls.load_config(top, ["Global.imports=[my_parts.py]"])


def test_a_recipe_stored_in_a_checkpoint_imports_nothing(mine):
    from ppcls import config
    from ppcls.engine.components import REGISTRIES

    values = {**config.load(mine / "mine.yaml", registries=REGISTRIES).plain(), "Stages": None}
    values["Global"]["imports"] = [str(write(mine / "evil.py", "raise SystemExit('was imported')"))]
    with pytest.raises(ConfigError, match=r"asks to import .*evil\.py, which no checkpoint may"):
        config.load_values(values, "x.pdstates", registries=REGISTRIES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("Arch.widht=3", r"Arch\.widht: unknown argument; did you mean 'width'\?"),
        ("DataLoader.Eval.dataset.transform_ops.2.Contrast.factor=x", r"Contrast\.factor: must be a number, not 'x'"),
        ("DataLoader.Eval.dataset.transform_ops.2.Contrast.facto=1", r"Contrast\.facto: unknown argument"),
    ],
)
def test_arguments_are_checked_as_ours_are(mine, change, message):
    with pytest.raises(ConfigError, match=message):
        ppcls.load_config(mine / "mine.yaml", [change])
    assert ppcls.load_config(mine / "mine.yaml", ["Arch.width=1e1"]).Arch.arguments["width"] == 10


def test_what_needs_the_base_class_says_so(mine):
    with pytest.raises(ConfigError, match="layer_decay: TwoConvs has no depth_of"):
        config = ppcls.load_config(mine / "mine.yaml", ["Optimizer.layer_decay=0.5", f"Global.output_dir={mine}/out"])
        ppcls.train(config)
