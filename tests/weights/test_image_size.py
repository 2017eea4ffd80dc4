"""The image size that weights were made for: recorded, given, assumed, and never confused with another one."""

import json
import re
import shutil

import numpy as np
import paddle
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from ppcls.arch.resizing import inverse_interpolation
from ppcls.errors import WeightsError
from ppcls.utils.logging import get_logger
from ppcls.weights import create_model, load_weights, read_weights
from ppcls.weights.convert import convert_weights
from ppcls.weights.record import read_record
from tests.helpers.command_line import run_ppcls
from tests.helpers.recipes import write_recipe

TINY = {"class_num": 10, "dim": 16, "depth": 2, "patch_size": 4}
SPATIAL = "blocks.0.sgu.spatial_proj.weight"


def change(recipe, size, target):
    """Write the recipe of gMLP for images of another size, [height, width]."""
    values = yaml.safe_load(recipe.read_text())
    values["Global"]["image_shape"] = [3, *size]
    values["Arch"] = {"name": "gMLP", **TINY}
    for side in values["DataLoader"].values():
        *_, normalize, chw = side["dataset"]["transform_ops"]
        resize = {"ResizeImage": {"size": [size[1], size[0]]}}
        side["dataset"]["transform_ops"] = [{"DecodeImage": {}}, resize, normalize, chw]
    target.write_text(yaml.safe_dump(values))
    return target


@pytest.fixture(scope="module")
def wide(digits, tmp_path_factory):
    """Return a folder with recipes for three sizes, and the run of the first in ``out``."""
    folder = tmp_path_factory.mktemp("wide")
    recipe = write_recipe(digits, folder)
    for name, size in {"wide": (16, 24), "tall": (24, 16), "square": (20, 20)}.items():
        change(recipe, size, folder / f"{name}.yaml")
    run_ppcls("train", "-c", "wide.yaml", "-o", "Global.epochs=4", cwd=folder)
    run_ppcls("convert", "out/best_model.pdparams", "converted.safetensors", *model_arguments(), cwd=folder)
    save_file(load_file(folder / "converted.safetensors"), folder / "foreign.safetensors")  # without the record
    return folder


def model_arguments():
    pairs = [f"--argument={key}={value}" for key, value in TINY.items()]
    return ["--model", "gMLP", *pairs]


def evaluate(run, folder, recipe, weights, *options, **arguments):
    where = ["-o", f"Global.pretrained_model={weights}"] if weights else []
    done = run("eval", "-c", f"{recipe}.yaml", *where, *options, cwd=folder, **arguments)
    return (json.loads(done.stdout)["CELoss"] if done.stdout else None), done.stderr


def test_our_checkpoints_are_resized_from_their_own_size(wide, run):
    states = json.loads((wide / "out/best_model.pdstates").read_text())
    assert states["image_size"] == [16, 24]
    own, text = evaluate(run, wide, "wide", "out/best_model")
    assert "resized" not in text
    resized, text = evaluate(run, wide, "tall", "out/best_model")
    assert "resized from 16x24 to 24x16 px: " in text
    assert resized < own + 0.3
    # The same numbers, given by hand.
    given, text = evaluate(run, wide, "tall", "foreign", "--weights-image-size", "16x24")
    assert given == pytest.approx(resized, rel=1e-6)
    assert "resized from 16x24 to 24x16 px: " in text
    by_recipe, _ = evaluate(run, wide, "tall", "foreign", "Global.weights_image_size=[16,24]")
    assert by_recipe == given
    converted, text = evaluate(run, wide, "tall", "converted")  # which keeps the size
    assert converted == given
    assert "resized from 16x24 to 24x16 px: " in text and "nothing says" not in text
    # Also where there is no other shape to tell it from, and of a square.
    _, text = evaluate(run, wide, "wide", "foreign")
    assert "foreign: nothing says which image size these weights are for; assuming 16x24 px." in text
    # Nothing tells: as they are, which is said, and wrong.
    assumed, text = evaluate(run, wide, "tall", "foreign")
    assert "nothing says which image size these weights are for; assuming 24x16 px" in text
    assert abs(assumed - resized) > 1e-3
    square, text = evaluate(run, wide, "square", "out/best_model")
    assert "resized from 16x24 to 20x20 px: " in text
    assert square < own + 0.3


def test_an_export_at_another_size_is_that_of_the_resized_weights(wide, run):
    expected, _ = evaluate(run, wide, "tall", "out/best_model")
    out = f"Global.save_inference_dir={wide}/tall"
    run("export", "-c", "tall.yaml", "-o", "Global.pretrained_model=out/best_model", out, cwd=wide)
    found, _ = evaluate(run, wide, "tall", None, "--model", "tall")
    assert found == pytest.approx(expected, rel=1e-4)
    options = ["--weights-image-size", "16x24", "-o", "Global.pretrained_model=foreign", out]
    run("export", "-c", "tall.yaml", *options, cwd=wide)
    found, _ = evaluate(run, wide, "tall", None, "--model", "tall")
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("recipe", "weights", "options", "message"),
    [
        ("square", "foreign", [], "36 patches|24 patches of 4 px.*--weights-image-size HEIGHTxWIDTH"),
        ("tall", "foreign", ["--weights-image-size", "24x24"], "made for 24 patches of 4 px.* 24x24 px have 6 x 6"),
        ("tall", "out/best_model", ["--weights-image-size", "24x16"], "of 16x24 px, as recorded with it, not of 24x16"),
        ("wide", "foreign", ["--weights-image-size", "16x24x3"], "is not a size: give HEIGHTxWIDTH"),
        ("wide", "foreign", ["-o", "Global.weights_image_size=[16]"], "weights_image_size"),
        (
            "wide",
            "foreign",
            ["-o", "Arch={name: ConvMixer, dim: 8, depth: 1}", "--weights-image-size", "9"],
            "any size",
        ),
    ],
)
def test_sizes_that_cannot_be_are_refused(wide, run, recipe, weights, options, message):
    _, text = evaluate(run, wide, recipe, weights, *options, code=2)
    assert re.search(message, text, re.DOTALL), text


def test_a_run_is_not_continued_at_another_size(wide, run, tmp_path):
    options = ["-o", "Global.checkpoints=out/latest", "Global.epochs=6", f"Global.output_dir={tmp_path}/out"]
    done = run("train", "-c", "tall.yaml", *options, cwd=wide, code=2)
    assert "these weights are for images of 16x24 px, and the model is for 24x16 px" in done.stderr


def test_evaluation_does_not_mind_the_size_of_training(wide, digits, run, tmp_path):
    """Only evaluation is at another size; the weights are resized from their own."""
    expected, _ = evaluate(run, wide, "tall", "out/best_model")
    tall = ["DataLoader.Eval.dataset.transform_ops.1.ResizeImage.size=[16,24]", "Global.image_shape=null"]
    found, text = evaluate(run, wide, "wide", "out/best_model", *tall)
    assert found == expected
    assert "DataLoader.Train" not in text
    done = run("train", "-c", "wide.yaml", "-o", *tall, f"Global.output_dir={tmp_path}", cwd=wide, code=2)
    assert "DataLoader.Train.dataset.transform_ops.1.ResizeImage: makes images of 16 x 24, but gMLP is" in done.stderr
    # Of a run, the size of its model is recorded, and has to be taken back.
    image = digits / "val/000.png"
    done = run("infer", "out", image, "-o", *tall, cwd=wide, code=2)
    assert "Arch.image_size: is 16 x 24, but DataLoader.Eval" in done.stderr
    done = run("infer", "out", image, "-o", *tall, "Arch.image_size=null", cwd=wide)
    assert "resized from 16x24 to 24x16 px" in done.stderr


def test_a_run_that_is_resumed_has_its_own_weights(wide, run, tmp_path):
    options = ["-o", "Global.checkpoints=out/latest", "Global.epochs=6", f"Global.output_dir={tmp_path}/out"]
    done = run("train", "-c", "wide.yaml", "--weights-image-size", "16x24", *options, cwd=wide, code=2)
    assert "Global.weights_image_size: describes weights to start from" in done.stderr
    assert "out/latest, which is resumed, knows its own; leave it out" in done.stderr
    assert not (tmp_path / "out/latest.pdparams").exists()


def test_training_starts_from_resized_weights(wide, run, tmp_path):
    shutil.copy(wide / "foreign.safetensors", tmp_path / "w.safetensors")
    options = [f"Global.pretrained_model={tmp_path}/w", f"Global.output_dir={tmp_path}/out", "Global.epochs=1"]
    done = run("train", "-c", "tall.yaml", "--weights-image-size", "16x24", "-o", *options, cwd=wide)
    assert "resized from 16x24 to 24x16 px" in done.stderr
    # What the run was started from says nothing about its own checkpoints.
    for arguments in (["-c", tmp_path / "out/config.yaml", "-o", f"Global.pretrained_model={tmp_path}/out/latest"],):
        done = run("eval", *arguments, cwd=wide)
        assert "Global.weights_image_size" in done.stderr
        assert "is not used" in done.stderr
    done = run("infer", tmp_path / "out", wide / "nothing", cwd=wide, code=2)
    run("export", tmp_path / "out", cwd=wide)


def test_in_python(wide, monkeypatch, caplog):
    monkeypatch.setattr(get_logger(), "propagate", True)
    path = wide / "out/best_model.pdparams"
    weight = read_weights(path)[SPATIAL]
    tall = create_model("gMLP", **TINY, image_size=[24, 16], pretrained=path)
    inverse = [inverse_interpolation(old, new) for old, new in zip((4, 6), (6, 4))]
    found = np.kron(*inverse) @ tall.state_dict()[SPATIAL].numpy()
    assert found.shape == weight.shape
    assert not np.allclose(tall.state_dict()[SPATIAL].numpy(), weight)
    assert not caplog.text
    report = load_weights(tall, path)
    assert report.size == "from 16x24 to 24x16 px"
    with pytest.raises(WeightsError, match="made for images of 16x24 px, as recorded with it, not of 24x16 px"):
        load_weights(tall, path, image_size=[24, 16])
    same = load_weights(tall, wide / "foreign", image_size=[16, 24])
    assert set(same.resized) == set(report.resized)
    load_weights(tall, wide / "foreign")
    np.testing.assert_array_equal(tall.state_dict()[SPATIAL].numpy(), weight)
    assert "assuming 24x16 px. Otherwise give --weights-image-size HEIGHTxWIDTH" in caplog.text
    square = create_model("gMLP", **TINY, image_size=16)
    arrays = {name: tensor.numpy() for name, tensor in square.state_dict().items()}
    caplog.clear()
    load_weights(square, arrays, image_size=16)
    assert not caplog.text
    load_weights(square, arrays)
    assert "weights: nothing says which image size these weights are for; assuming 16x16 px" in caplog.text


def test_what_is_recorded(wide, tmp_path):
    for name in ("best_model.pdparams", "best_model.pdstates"):
        shutil.copy(wide / "out" / name, tmp_path / name)
    weights, states = tmp_path / "best_model.pdparams", tmp_path / "best_model.pdstates"
    values = json.loads(states.read_text())
    assert read_record(weights).image_size == [16, 24]
    del values["image_size"]  # earlier versions had the recipe only
    states.write_text(json.dumps(values))
    assert read_record(weights).image_size == [16, 24]
    del values["config"]["Arch"]["image_size"]
    states.write_text(json.dumps(values))
    assert read_record(weights).image_size == [224, 224]  # the default of gMLP
    for broken in ("", "[]", json.dumps({**values, "image_size": "x"}), json.dumps({"files": {}})):
        states.write_text(broken)
        assert read_record(weights).image_size is None
    states.write_text(json.dumps(values))
    paddle.save({"x": paddle.ones([1])}, str(weights))  # others than the record is of
    assert read_record(weights).image_size is None


def test_conversions_keep_or_change_the_size(wide, tmp_path):
    source = wide / "out/best_model.pdparams"
    arguments = {key: value for key, value in TINY.items() if key != "class_num"}
    done = convert_weights(source, tmp_path / "a.pth", model="gMLP", arguments=arguments)
    assert (done["image_size"], "resized" in done) == ([16, 24], False)
    tall = {**arguments, "image_size": [24, 16]}
    done = convert_weights(source, tmp_path / "b.pth", model="gMLP", arguments=tall)
    assert (done["image_size"], done["resized"]) == ([24, 16], "from 16x24 to 24x16 px")
    again = convert_weights(tmp_path / "a.pth", tmp_path / "c.pth", model="gMLP", arguments=tall, image_size=[16, 24])
    assert again["resized"] == done["resized"]
    assert (tmp_path / "b.pth").read_bytes() == (tmp_path / "c.pth").read_bytes()
    expected = create_model("gMLP", **TINY, image_size=[24, 16], pretrained=source)
    model = create_model("gMLP", **TINY, image_size=[24, 16])
    load_weights(model, tmp_path / "b.pth", image_size=[24, 16])
    for name, tensor in expected.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), tensor.numpy())


@pytest.mark.parametrize(("source", "target"), [(4, 6), (6, 4), (5, 5), (14, 16), (16, 14), (7, 1), (1, 7)])
def test_the_inverse_of_a_resize(source, target):
    inverse = inverse_interpolation(source, target)
    np.testing.assert_allclose(inverse.sum(1), 1)
    if source == target:
        np.testing.assert_array_equal(inverse, np.eye(source))
    smooth = np.linspace(0, 1, source) ** 2
    from ppcls.arch.resizing import interpolation

    if min(source, target) > 2:
        back = inverse @ (interpolation(source, target) @ smooth)
        assert np.abs(back - smooth).max() < 0.1
