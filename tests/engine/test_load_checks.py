"""Mistakes that are found when a recipe is loaded, each at its place, and settings that have no effect."""

import logging

import pytest
import yaml

import ppcls
from ppcls.engine.model import build_model
from ppcls.errors import ConfigError
from tests.helpers.multilabel import write_multilabel_recipe
from tests.helpers.recipes import write_recipe
from tests.helpers.runs import train

OPS = "DataLoader.Train.dataset.transform_ops"
SIZES = "{RandCropImage: {size: 16, progress_size: [8, 16]}}"
STRENGTHS = "{RandAugmentV2: {progress_magnitude: [5, 10, 15]}}"


@pytest.fixture
def recipe(digits, tmp_path):
    return write_recipe(digits, tmp_path)


def error(recipe, *changes):
    with pytest.raises(ConfigError) as caught:
        ppcls.load_config(recipe, changes)
    return str(caught.value)


def warnings(recipe, caplog, *changes):
    with caplog.at_level(logging.WARNING):
        ppcls.load_config(recipe, changes)
    return [record.getMessage() for record in caplog.records]


def test_published_weights_of_an_architecture_without_any(recipe):
    """With the other mistakes, as in PaddleClas's recipes; weights of one's own replace them."""
    text = error(recipe, "Arch.pretrained=true", "Arch.use_ssld=true", "Global.epochs=x")
    assert text.startswith("3 mistakes")
    assert "-o Arch.pretrained=true: Arch.pretrained: no published weights of ConvMixer are known" in text
    assert "-o Arch.pretrained=false" in text
    assert "Arch.use_ssld: must be false" in text
    assert ppcls.load_config(recipe, ["Arch.pretrained=true", "Global.pretrained_model=mine"]).Arch.pretrained is True
    assert ppcls.load_config("ImageNet/ConvMLP/ConvMLP_S", ["Arch.pretrained=true"]).Arch.pretrained is True
    teacher = "Distillation.models={Teacher: {name: ConvMixer, dim: 8, depth: 1, pretrained: true}}"
    assert "Distillation.models.Teacher.pretrained: no published weights" in error(recipe, teacher)


def test_a_bad_value_beside_an_unknown_argument(recipe):
    text = error(recipe, f"{OPS}.1={{AugMix: {{probb: 1, prob: 4, splits: 'x'}}}}")
    for part in ("probb: unknown argument", "prob: must be a number from 0 to 1", "splits: must be a whole number"):
        assert f"AugMix.{part}" in text
    # What an unknown argument may have been meant to say is not held against the rest.
    text = error(recipe, f"{OPS}.1={{ResizeImage: {{sise: 16}}}}")
    assert "unknown argument" in text and "\n" not in text


def test_a_long_change_is_cut_in_messages(recipe):
    arch = "{name: ConvMixer, class_num: 10, dim: 16, depth: 2, kernel_size: 3, patch_size: 4, act: gelu, colour: red}"
    (line,) = error(recipe, f"Arch={arch}").splitlines()
    assert line.startswith("-o Arch={name: ConvMixer, class_num: 10, dim: 16, ")
    assert "...: Arch.colour: unknown argument" in line
    assert "patch_size: 4, act" not in line


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ([f"{OPS}.1={SIZES}"], f"{OPS}.1.RandCropImage: progress_* have no effect without Global.train_mode"),
        (["Global.train_mode=progressive"], "Global.train_mode: progressive needs RandCropImage.progress_size or"),
        (
            ["Global.train_mode=progressive", f"{OPS}.1={SIZES}", f"{OPS}.2={STRENGTHS}"],
            f"{OPS}.2.RandAugmentV2: has 3 stages, and RandCropImage has 2",
        ),
        (
            [
                "Global.train_mode=progressive",
                f"{OPS}.1={SIZES}",
                "DataLoader.Train.sampler={name: MultiScaleSampler, scales: [8, 16], first_bs: 8, divided_factor: 8}",
            ],
            "Global.train_mode: progressive and MultiScaleSampler exclude each other",
        ),
    ],
)
def test_progressive_training(recipe, changes, start):
    text = error(recipe, *changes)
    assert f": {start}" in text
    assert text.startswith(("-o ", str(recipe)))


@pytest.mark.parametrize(("argument", "warned"), [("", True), (", prob: 1.0", False)])
def test_splits_of_images_that_are_not_augmented(recipe, caplog, argument, warned):
    found = warnings(recipe, caplog, f"{OPS}.1={{AugMix: {{splits: 3{argument}}}}}")
    assert any("about 50% of the augmented views are the clean image" in text for text in found) == warned


@pytest.mark.parametrize("value", ["true", "false"])
def test_half_precision_of_batches(recipe, caplog, value):
    found = warnings(recipe, caplog, f"{OPS}.3.NormalizeImage.output_fp16={value}")
    assert any("NormalizeImage.output_fp16: has no effect" in text for text in found) == (value == "true")


def test_metrics_are_checked_for_the_kind_of_labels_first(digits, tmp_path):
    recipe = write_multilabel_recipe(digits, tmp_path)
    text = train(recipe, "Metric.Eval=[{TopkAcc: {topk: 5}}]", code=2).stderr
    assert "-o Metric.Eval=[{TopkAcc: {topk: 5}}]: Metric.Eval: TopkAcc: is for data with one label per image" in text
    assert "MultilabelMeanAccuracy" in text and "MeanAveragePrecision" in text and "BalancedAccuracy" not in text
    text = train(recipe, "Metric.Eval=[{F1: {threshold: [0.5, 0.5]}}]", code=2).stderr
    assert "-o Metric.Eval=[{F1: {threshold: [0.5, 0.5]}}]: Metric.Eval: F1: threshold: 2 numbers for 3 classes" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "Global.checkpoints={out}",
            "Global.checkpoints: {out} is a folder; give one of its checkpoints, such as {out}/",
        ),
        ("Global.checkpoints=gone/nope/latest", "Global.checkpoints: gone/nope/latest: the folder gone/nope does not"),
        ("Global.pretrained_model=gone/none", "Global.pretrained_model: gone/none: the folder gone does not exist"),
        ("Global.pretrained_model=none", "Global.pretrained_model: no weight file at none"),
        ("Global.pretrained_model={out}", "{out} is a folder; give one of its checkpoints, such as {out}/best_model"),
    ],
)
def test_weights_that_are_not_there(recipe, models, change, message):
    out = models / "out"
    text = train(recipe, change.format(out=out), code=2).stderr
    assert message.format(out=out) in text
    assert f"-o {change.format(out=out)}"[:60] in text


@pytest.mark.parametrize(
    ("arch", "size", "said"),
    [
        (
            "{name: gMLP, dim: 8, depth: 1, patch_size: 7}",
            "[3, 32, 48]",
            "32x48 px: the last 4 rows and 6 columns of",
        ),
        (
            "{name: ConvMixer, dim: 8, depth: 1, patch_size: 5}",
            "[3, 16, 20]",
            "16x20 px: the last 1 rows of each",
        ),
        ("{name: ConvMixer, dim: 8, depth: 1, patch_size: 4}", "[3, 16, 20]", None),
    ],
)
def test_pixels_that_are_in_no_patch_are_said(caplog, arch, size, said):
    config = ppcls.load_config({"Arch": yaml.safe_load(arch), "Global": {"image_shape": yaml.safe_load(size)}})
    build_model(config)
    assert (said is not None) == ("are not used" in caplog.text)
    assert (said or "") in caplog.text
