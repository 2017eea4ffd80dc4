"""Every shipped recipe: loaded, its model built, and a shrunk copy trained for an epoch."""

import json
import sys

import cv2
import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.arch import list_models, spec
from ppcls.commands.config import schema_text
from ppcls.config.find import library, recipes
from ppcls.weights import create_model
from tests.helpers.recipes import ROOT

# What makes each family tiny, whatever its recipe says.
TINY = {
    "ConvMLP": {"blocks": [1, 1], "dims": [16, 32], "mlp_ratios": [2, 2], "channels": 16, "conv_blocks": 1},
    "ConvMixer": {"dim": 16, "depth": 2},
    "CycleMLP": {"layers": [1, 1], "embed_dims": [16, 32], "mlp_ratios": [2, 2]},
    "gMLP": {"dim": 16, "depth": 2},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return a folder with twelve pictures, their list, class folders, and CIFAR's files of as many images."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(12):
        for name in (f"{index}.png", f"train/class-{index % 4}/{index}.png", f"val/class-{index % 4}/{index}.png"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / name), rng.integers(0, 256, (40, 48, 3), np.uint8))
        lines.append(f"{index}.png {index % 4}\n")
    (folder / "list.txt").write_text("".join(lines))
    for name, labels in (("cifar-10-batches-bin", 1), ("cifar-100-binary", 2)):
        (folder / name).mkdir()
        records = rng.integers(0, 256, (12, labels + 3072), np.uint8)
        records[:, :labels] = np.arange(12)[:, None] % 4
        for part in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "train", "test"):
            (folder / name / f"{part}.bin").write_bytes(records.tobytes())
    return folder


def shrunk(config, data, out):
    """Return a recipe's values with a tiny model, tiny images, two a batch, and one epoch."""
    values = config.plain()
    stages = values.pop("Stages", None)
    shrink_run(values, out)
    family = next(name for name in TINY if values["Arch"]["name"].startswith(name))
    values["Arch"].update(TINY[family], pretrained=False)
    if not config.has_class_num:
        del values["Arch"]["class_num"]
    if values["Global"]["image_shape"][1] > 64:
        values["Global"]["image_shape"] = [3, 64, 64]
    if family == "gMLP":
        values["Arch"]["image_size"] = values["Global"]["image_shape"][1]
    for side in values["DataLoader"].values():
        shrink_data(side, data)
    shrink_transforms(values["Infer"]["transforms"] or [])
    if stages:
        values["Stages"] = [{**stage, "override": shrunk_override(stage["override"] or {})} for stage in stages]
    return {key: value for key, value in values.items() if value is not None}


def shrunk_override(override):
    """Return a stage's changes with one epoch, without the images' sizes, which the tiny ones do not have."""
    kept = {key: value for key, value in override.items() if "transform_ops" not in key}
    kept["Global"] = {**kept.get("Global", {}), "epochs": 1}
    kept.pop("Global.epochs", None)
    for key, value in kept.items():
        if key == "Optimizer.lr":
            kept[key] = {**value, **({"warmup_epoch": 0} if "warmup_epoch" in value else {})}
    return kept


def shrink_run(values, out):
    settings = {"epochs": 1, "device": "cpu", "output_dir": str(out), "use_visualdl": False, "pretrained_model": None}
    values["Global"].update(settings)
    schedule = values["Optimizer"]["lr"]
    schedule.update({key: 0 for key in ("warmup_epoch", "cooldown_epoch") if key in schedule})


def shrink_data(side, data):
    dataset = side["dataset"]
    dataset["image_root"] = str(data)
    if dataset["name"] == "ImageFolder":
        dataset["image_root"] = str(data / "train")
    if "cls_label_path" in dataset:
        dataset["cls_label_path"] = str(data / "list.txt")
    side["sampler"]["batch_size"] = 2
    side["loader"]["num_workers"] = 0
    shrink_transforms(dataset["transform_ops"])


def shrink_transforms(operations):
    for op in operations:
        ((_, arguments),) = op.items()
        for key, limit in (("size", 64), ("img_size", 64), ("resize_short", 72)):
            if arguments and isinstance(arguments.get(key), int):
                arguments[key] = min(arguments[key], limit)


@pytest.mark.parametrize("name", recipes())
def test_recipe_builds_and_trains(name, data, tmp_path):
    config = ppcls.load_config(name)
    arch = config.Arch
    with paddle.LazyGuard():  # without values, which take most of the time
        model = create_model(arch.name, class_num=arch.class_num, **arch.arguments)
    if arch.name in list_models() and arch.class_num == spec(arch.name).class_num:
        assert sum(int(p.size) for p in model.parameters() if not p.stop_gradient) == spec(arch.name).params
    path = tmp_path / "shrunk.yaml"
    path.write_text(yaml.safe_dump(shrunk(config, data, tmp_path / "out")))
    result = ppcls.train(ppcls.load_config(path))
    results = result.stages.values() if config.Stages else [result]
    assert [stage.best["epoch"] for stage in results] == [1] * max(1, len(config.stages))


def test_the_header_of_every_recipe_gives_its_command():
    for name in recipes():
        text = (library() / name).read_text()
        header = text.split("\n\n")[0]
        assert f"tools/train.py -c configs/{name}" in header, name
        assert "Result:" in header, name


def test_the_json_schema_is_in_step():
    written = (ROOT / "configs" / "schema.json").read_text()
    assert written == schema_text(), "run `make schema`"


def test_the_generated_pages_are_in_step():
    sys.path.insert(0, str(ROOT / "tools"))
    from make_reference import generated, pages, with_tables

    for name, text in generated().items():
        assert (ROOT / "docs" / name).read_text() == text, "run `make reference`"
    for page in pages():
        assert page.read_text() == with_tables(page.read_text()), f"{page.name}: run `make reference`"


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
