"""Each warning is said once in a run, whatever reads the same thing again."""

import logging
from collections import Counter

import pytest
import yaml

import ppcls
from ppcls.utils.logging import repeats_dropped, warn_once


@pytest.fixture
def scene(recipe, digits, tmp_path):
    """Return a recipe that trains and evaluates on one folder with a file that is no image, in two classes."""
    for number in range(8):
        folder = tmp_path / "data" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes((digits / "train" / f"{number // 2 * 4 + 1:03d}.png").read_bytes())
    (tmp_path / "data" / "class 0" / "notes.txt").write_text("notes")
    values = yaml.safe_load(recipe.read_text())
    values["Arch"].pop("class_num")
    for side in ("Train", "Eval"):
        section = values["DataLoader"][side]["dataset"]
        section.update(name="ImageFolder", image_root=str(tmp_path / "data"))
        section.pop("cls_label_path")
    values["DataLoader"]["Train"]["sampler"]["batch_size"] = 4
    values["Global"]["epochs"] = 1
    values["Infer"] = {"PostProcess": {"class_id_map_file": "missing.txt"}}
    recipe.write_text(yaml.safe_dump(values))
    return recipe


def warnings_of(text):
    lines = [line.partition("WARNING: ")[2] for line in text.splitlines() if "WARNING: " in line]
    return Counter(lines)


def test_each_warning_of_a_command_is_said_once(scene, run, tmp_path):
    trained = warnings_of(run("train", "-c", scene).stderr)
    unused = [line for line in trained if "1 file is not used: it cannot be decoded as an image" in line]
    assert len(unused) == 1 and set(trained.values()) == {1}
    weights = f"Global.pretrained_model={tmp_path}/out/best_model"
    for command in ("eval", "export"):
        said = warnings_of(run(command, "-c", scene, "-o", weights).stderr)
        assert said and set(said.values()) == {1}, command
    checked = warnings_of(run("check-data", "-c", scene, "--out", tmp_path / "checked", code=None).stderr)
    assert checked[unused[0]] == 1 and set(checked.values()) == {1}


def test_the_next_run_says_its_warnings_again(scene, caplog):
    for _ in range(2):
        logging.getLogger("ppcls").propagate = True  # which the log of a run has switched off
        caplog.clear()
        ppcls.train(scene)
        # Once each: pytest may have its handler at the package's logger and above it.
        assert len({id(record) for record in caplog.records if "not used" in record.getMessage()}) == 1


def test_other_warnings_are_not_dropped(caplog):
    with repeats_dropped():
        for text in ("a", "b", "a"):
            warn_once("this is %s", text)
        with repeats_dropped():  # of a run within a command
            warn_once("this is %s", "b")
    warn_once("this is %s", "a")
    warn_once("100%")  # no placeholder
    assert [record.getMessage() for record in caplog.records] == ["this is a", "this is b", "this is a", "100%"]
