"""Resuming on data that are not those of the run."""

import json
import shutil
from pathlib import Path

import pytest
import yaml


@pytest.fixture
def stopped(digits, recipe, run, tmp_path):
    """Return a recipe on a copy of the data, whose run stopped inside its first epoch, and the list of its images."""
    shutil.copytree(digits, tmp_path / "data")
    recipe.write_text(recipe.read_text().replace(str(digits), str(tmp_path / "data")))
    path = tmp_path / "data" / "train" / "130.png"
    good = path.read_bytes()
    path.write_bytes(b"broken")
    assert str(path) in run("train", "-c", recipe, "-o", "Global.epochs=1", code=2).stderr
    path.write_bytes(good)
    return recipe, tmp_path / "data" / "train_list.txt"


def position(prefix):
    states = json.loads(Path(f"{prefix}.pdstates").read_text())
    return states["epoch"], states["batch"]


def test_other_data_of_the_same_number(stopped, run, tmp_path):
    recipe, listed = stopped
    latest = tmp_path / "out" / "latest"
    epoch, batch = position(latest)
    assert (epoch, batch > 0) == (0, True)
    resumed = ("-c", recipe, "-o", f"Global.checkpoints={latest}")
    before = listed.read_text()

    listed.write_text("".join(reversed(before.splitlines(keepends=True))))
    done = run("train", *resumed, code=2)
    assert "has other batches now (the paths, the labels or the order of the images changed;" in done.stderr
    assert "Traceback" not in done.stderr

    listed.write_text(before)
    (tmp_path / "data").rename(tmp_path / "moved")  # the same images elsewhere
    recipe.write_text(recipe.read_text().replace(f"{tmp_path}/data", f"{tmp_path}/moved"))
    done = run("train", *resumed, "Global.epochs=1")
    assert "the training data are others" not in done.stderr
    assert position(latest) == (1, 0)

    text = (tmp_path / "moved" / "train_list.txt").read_text()
    (tmp_path / "moved" / "train_list.txt").write_text(text[: text.rindex("\n", 0, -1) + 1])
    done = run("train", *resumed, "Global.epochs=2")  # between epochs anything can change
    assert (
        f"the training data are others than when {latest} was saved: images was 120 and is 119; the paths,"
        in done.stderr
    )


def test_a_checkpoint_that_does_not_know_its_data_is_resumed(stopped, run, tmp_path):
    recipe, _ = stopped
    path = tmp_path / "out" / "latest.pdstates"
    states = json.loads(path.read_text())
    del states["layout"]["samples"], states["digest"]
    path.write_text(json.dumps(states))
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=auto", "Global.epochs=1")
    assert "resuming from" in done.stderr
    assert "are others" not in done.stderr


def test_another_split_of_one_folder(recipe, run, tmp_path):
    values = yaml.safe_load(recipe.read_text())
    for line in Path(values["DataLoader"]["Train"]["dataset"]["cls_label_path"]).read_text().splitlines():
        name, label = line.split()
        (tmp_path / "photos" / label).mkdir(parents=True, exist_ok=True)
        image = Path(values["DataLoader"]["Train"]["dataset"]["image_root"]) / name
        shutil.copy(image, tmp_path / "photos" / label / image.name)
    for side in ("Train", "Eval"):
        section = values["DataLoader"][side]["dataset"]
        del section["cls_label_path"]
        section.update(name="ImageFolder", image_root=str(tmp_path / "photos"), val_fraction=0.3, split_seed=0)
    recipe.write_text(yaml.safe_dump(values))
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    other = [f"DataLoader.{side}.dataset.split_seed=1" for side in ("Train", "Eval")]
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=auto", *other, code=2)
    assert "DataLoader.Train.dataset.split_seed was 0 and is 1" in done.stderr
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", "Global.epochs=1", *other)
    assert "DataLoader.Train.dataset.split_seed was 0 when this run was saved, and is 1 now" in done.stderr
    assert "the training data are others than when" in done.stderr
