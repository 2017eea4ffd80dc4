"""Every shipped recipe: loaded, built, and one training step taken."""

import json
import sys

import cv2
import numpy as np
import pytest

from ppcls.commands.config import schema_text
from ppcls.config.find import library, recipes
from tests.conftest import ROOT


def pictures(folder, count, classes):
    """Write random pictures and their list; return the list's path."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    lines = []
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (40, 48, 3), np.uint8))
        lines.append(f"{index}.png {index % classes}\n")
    (folder / "list.txt").write_text("".join(lines))
    return folder / "list.txt"


@pytest.mark.parametrize("name", recipes())
def test_recipe_takes_a_step(name, run, tmp_path):
    from ppcls import load_config

    config = load_config(name)
    listed = pictures(tmp_path / "data", 4, min(4, config.Arch.class_num))
    changes = [
        "Global.epochs=1",
        "Global.device=cpu",
        f"Global.output_dir={tmp_path}/out",
        "Optimizer.lr.warmup_epoch=0",
    ]
    changes += [f"Stages.{index}.override.Global.epochs=1" for index in range(len(config.stages))]
    for split in ("Train", "Eval"):
        section = f"DataLoader.{split}"
        changes += [
            f"{section}.dataset.name=ImageNetDataset",
            f"{section}.dataset.image_root={listed.parent}",
            f"{section}.dataset.cls_label_path={listed}",
            f"{section}.sampler.batch_size=2",
            f"{section}.loader.num_workers=0",
        ]
    done = run("train", "-c", name, "-o", *changes)
    assert "[Eval][Epoch 1][Avg]" in done.stderr


def test_the_header_of_every_recipe_gives_its_command():
    for name in recipes():
        text = (library() / name).read_text()
        header = text.split("\n\n")[0]
        assert f"tools/train.py -c configs/{name}" in header, name
        assert "Result:" in header, name


def test_the_json_schema_is_in_step():
    written = (ROOT / "configs" / "schema.json").read_text()
    assert written == schema_text(), "run `make schema`"


def test_the_reference_of_components_is_in_step():
    sys.path.insert(0, str(ROOT / "tools"))
    from make_reference import reference

    assert (ROOT / "docs" / "components.md").read_text() == reference(), "run `make docs`"


def test_the_json_schema_accepts_the_recipes_and_refuses_typos():
    jsonschema = pytest.importorskip("jsonschema", reason="pip install jsonschema")
    import yaml

    validator = jsonschema.Draft202012Validator(json.loads((ROOT / "configs" / "schema.json").read_text()))
    for file in library().rglob("*.yaml"):
        errors = list(validator.iter_errors(yaml.safe_load(file.read_text())))
        assert not errors, f"{file}: {errors[0].message} at {list(errors[0].path)}"
    assert list(validator.iter_errors({"Global": {"epoch": 1}}))
    assert list(validator.iter_errors({"Loss": {"Train": [{"CELoss": {"epsilom": 0.1}}]}}))
    assert list(validator.iter_errors({"Arch": {"name": "ConvMixr"}}))
    assert list(validator.iter_errors({"Arch": {"name": "ConvMixer", "deph": 3}}))
    assert list(validator.iter_errors({"Arch": {"name": "ConvMixer", "depth": "four"}}))
    assert list(validator.iter_errors({"Optimizer": {"name": "AdamW", "beta": 1, "lr": {"name": "Cosine"}}}))
    assert not list(validator.iter_errors({"Optimizer": {"_delete_": True, "name": "SGD"}, "Arch": {"depth": 3}}))
