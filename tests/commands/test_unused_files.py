"""Every command says which files of a folder it does not use."""

import json
import shutil

import pytest

from tests.helpers.recipes import write_recipe

OTHERS = "3 files are not used: they cannot be decoded as images (2 .jxl, 1 .txt): "


@pytest.fixture
def photos(digits, tmp_path):
    """Return a folder of two classes with 10 images each, among them three that their suffix does not tell."""
    folder = tmp_path / "photos"
    images = sorted((digits / "train").iterdir())[:20]
    for number, image in enumerate(images):
        name = {3: "plain", 7: "wrong.txt", 11: "scan.jfif"}.get(number, image.name)
        target = folder / ("oak" if number < 10 else "pine") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image, target)
    for name in ("oak/a.jxl", "pine/b.jxl"):
        (folder / name).write_bytes(b"\xff\x0a" + bytes(60))
    (folder / "pine" / "notes.txt").write_text("about these trees")
    shutil.copy(images[0], folder / "oak" / ".hidden.png")
    return folder


def test_they_are_counted_and_named(photos, digits, run, tmp_path, trained):
    recipe = write_recipe(digits, tmp_path)
    changes = ["Global.epochs=1", "Arch.class_num=2", "Metric.Eval.0.TopkAcc.topk=[1]"]
    text = recipe.read_text().replace("name: ImageNetDataset", "name: ImageFolder").replace(str(digits), str(photos))
    recipe.write_text("\n".join(line for line in text.splitlines() if "cls_label_path" not in line))
    done = run("train", "-c", recipe, "-o", *changes)
    assert f"{photos}: {OTHERS}oak/a.jxl, pine/b.jxl, pine/notes.txt" in done.stderr
    done = run("check-data", "-c", recipe, "-o", *changes, "--out", tmp_path / "report", code=None)
    assert OTHERS in done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert report["images"] == {"Train": 20, "Eval": 20}
    names = ["oak/a.jxl", "pine/b.jxl", "pine/notes.txt"]
    assert report["problems"]["no_images"] == [f"{photos}/{name}" for name in names]
    assert report["problems"]["hidden"] == [f"{photos}/oak/.hidden.png"]
    done = run("split-data", photos, "--out", tmp_path / "lists")
    assert OTHERS in done.stderr
    split = json.loads(done.stdout)
    assert (split["train"] + split["val"], split["not_used"]) == (20, {".jxl": 2, ".txt": 1})
    done = run("pack-data", photos, "--out", tmp_path / "shards")
    assert OTHERS in done.stderr
    packed = json.loads(done.stdout)
    assert (packed["samples"], packed["not_used"]) == (20, {".jxl": 2, ".txt": 1})
    done = run("infer", trained / "out", photos)
    assert OTHERS in done.stderr
    assert len(json.loads(done.stdout)) == 20
