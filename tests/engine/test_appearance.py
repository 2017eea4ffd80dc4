"""Training, evaluation and inference that prepare images in different ways."""

import pytest
import yaml

import ppcls
from ppcls.config import appearance
from tests.helpers.recipes import split
from tests.helpers.runs import train

TRAIN, EVAL = "DataLoader.Train.dataset.transform_ops", "DataLoader.Eval.dataset.transform_ops"


def normalization(scale="0.0039216", mean="[0.5, 0.5, 0.5]", std="[0.5, 0.5, 0.5]"):
    return f"scale {scale}, mean {mean}, std {std}"


SAME = normalization()


def loaded(recipe, caplog, changes):
    """Return what is said of the images when a recipe is loaded with changes."""
    caplog.clear()
    ppcls.load_config(recipe, changes)
    return [text for text in caplog.messages if "prepare images in different ways" in text]


@pytest.fixture
def resized(recipe, digits):
    """Return a recipe that resizes on both sides in one way."""
    values = yaml.safe_load(recipe.read_text())
    for side, name in (("Train", "train"), ("Eval", "val")):
        resize = {"ResizeImage": {"size": [16, 16], "interpolation": "bilinear"}}
        values["DataLoader"][side] = split(digits, name, [resize], shuffle=side == "Train")
    recipe.write_text(yaml.safe_dump(values))
    return recipe


def test_equal_sides_are_not_mentioned(resized, caplog):
    assert loaded(resized, caplog, {}) == []
    # What is random in training has both of them; bilinear is the default.
    assert loaded(resized, caplog, {f"{TRAIN}.1.ResizeImage.interpolation": "random"}) == []
    assert loaded(resized, caplog, {f"{TRAIN}.1.ResizeImage.interpolation": None}) == []
    assert loaded(resized, caplog, {f"{TRAIN}.2.NormalizeImage.mean": [0.5000000001, 0.5, 0.5]}) == []


@pytest.mark.parametrize(
    ("key", "value", "kind", "both"),
    [
        ("0.DecodeImage.to_rgb", False, "channel order", ("BGR", "RGB")),
        ("0.DecodeImage.backend", "pil", "backend of DecodeImage", ("pil", "cv2")),
        ("1.ResizeImage.interpolation", "bicubic", "interpolation", ("bicubic", "bilinear")),
        ("1.ResizeImage.backend", "pil", "backend of resizing", ("pil", "cv2")),
        ("2.NormalizeImage.mean", [0.4, 0.5, 0.5], "normalization", (normalization(mean="[0.4, 0.5, 0.5]"), SAME)),
        ("2.NormalizeImage.std", [0.5, 0.5, 1.0], "normalization", (normalization(std="[0.5, 0.5, 1]"), SAME)),
        ("2.NormalizeImage.scale", 1.0, "normalization", (normalization(scale="1"), SAME)),
    ],
)
def test_each_difference_is_said_with_both_places(resized, caplog, key, value, kind, both):
    index, name, argument = key.split(".")
    values = yaml.safe_load(resized.read_text())
    values["DataLoader"]["Train"]["dataset"]["transform_ops"][int(index)][name][argument] = value
    resized.write_text(yaml.safe_dump(values))
    lines = [n for n, line in enumerate(resized.read_text().splitlines(), 1) if f"- {name}:" in line]
    evaluation, training = lines  # the file is sorted
    (said,) = loaded(resized, caplog, {})
    assert said == (
        f"DataLoader.Train and DataLoader.Eval prepare images in different ways: "
        f"{kind}: {both[0]} ({resized}:{training}: {name}) and {both[1]} ({resized}:{evaluation}: {name})"
    )


def test_inference_is_compared_with_evaluation(resized, caplog):
    operations = ppcls.load_config(resized).DataLoader.Eval.dataset.transform_ops
    assert loaded(resized, caplog, {"Infer.transforms": operations}) == []
    without = [op for op in operations if "NormalizeImage" not in op]
    (said,) = loaded(resized, caplog, {"Infer.transforms": without})
    assert "DataLoader.Eval and Infer prepare" in said
    assert "and none (no NormalizeImage)" in said


def test_geometry_is_compared_between_evaluation_and_inference(resized, caplog):
    """Training may crop as it likes."""
    operations = list(ppcls.load_config(resized).DataLoader.Eval.dataset.transform_ops)
    crop = [{"ResizeImage": {"resize_short": 32}}, {"CropImage": {"size": 16}}]
    changed = [operations[0], *crop, *operations[2:]]
    (said,) = loaded(resized, caplog, {"Infer.transforms": changed})
    assert "DataLoader.Eval and Infer prepare images in different ways: resizing and cropping to (16, 16): " in said
    assert (
        "ResizeImage {size: [16, 16]} (" in said
        and "ResizeImage {resize_short: 32}, CropImage {size: [16, 16]} (" in said
    )
    assert loaded(resized, caplog, {TRAIN: changed}) == []


def test_it_is_said_once(resized, run):
    change = f"{TRAIN}.0.DecodeImage.backend=pil"
    done = train(resized, change, "Global.epochs=1")
    assert done.stderr.count("prepare images in different ways") == 1


def test_an_export_is_not_evaluated_by_another_preprocessing(trained, run, tmp_path):
    run("export", trained / "out", "-o", f"Global.save_inference_dir={tmp_path}/model")
    call = ("eval", "-c", trained / "recipe.yaml", "--model", tmp_path / "model")
    run(*call)
    done = run(*call, "-o", f"{EVAL}.1.NormalizeImage.mean=[0.1,0.5,0.5]", code=2)
    assert "prepares images in another way than the recipe: normalization: scale" in done.stderr
    assert "mean [0.1, 0.5, 0.5], std [0.5, 0.5, 0.5] (the recipe) and" in done.stderr
    done = run(*call, "-o", f"{EVAL}.0.DecodeImage.to_rgb=false", code=2)
    assert "channel order: BGR (the recipe) and RGB (the export)" in done.stderr


def test_what_is_not_ours_may_normalize():
    assert appearance.NORMALIZATION in appearance.traits([])
    assert appearance.NORMALIZATION not in appearance.traits([("TheirNormalization", None, "recipe.yaml:3")])
