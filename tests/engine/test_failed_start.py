"""Mistakes that show only where models meet images and losses meet labels: an earlier run stays where it is."""

import pytest
import yaml

from tests.helpers.distillation import TEACHER
from tests.helpers.multilabel import write_multilabel_recipe
from tests.helpers.recipes import MIXED_IMAGES, write_recipe
from tests.helpers.runs import digests, train

OWN = """
import numpy as np
import ppcls
from ppcls.data.transforms import TRANSFORMS
from ppcls.loss.registry import LOSSES
from ppcls.metric.registry import METRICS


@TRANSFORMS.register
class Broken:
    def __call__(self, image, rng):
        raise KeyError("no such thing")


@TRANSFORMS.register
class FirstChannel:
    def __call__(self, image, rng):
        return np.ascontiguousarray(image[:1])


@LOSSES.register
class BrokenLoss:
    def forward(self, logits, targets):
        return logits


@METRICS.register
class BrokenMetric:
    def update(self, logits, targets):
        raise KeyError("no such thing")

    def result(self):
        return 0.0
"""


@pytest.fixture
def done(recipe):
    """Return the recipe of a run that is done, in the folder ``out`` beside it."""
    recipe.with_name("own.py").write_text(OWN)
    train(recipe, "Global.epochs=1")
    return recipe


@pytest.fixture
def recipe(digits, tmp_path):
    return write_recipe(digits, tmp_path)


def require_untouched(recipe, changes, message):
    """Make sure that a start fails, and the run before is as it was."""
    out = recipe.with_name("out")
    before = digests(out)
    assert message in train(recipe, *changes, code=2).stderr
    assert digests(out) == before
    assert not list(recipe.parent.glob("**/previous_*"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "DataLoader.Train.dataset.transform_ops.3.NormalizeImage.channel_num=4",
            "channel_num: makes 4 channels, but Global.image_shape is 3",
        ),
        (
            "DataLoader.Eval.dataset.transform_ops.1.NormalizeImage.channel_num=4",
            "channel_num: makes 4 channels, but Global.image_shape is 3",
        ),
        ("Arch.in_channels=1", "images have 1 channels (Arch.in_channels (-o Arch.in_channels=1))"),
        ("Arch.patch_size=17", "DataLoader.Train: an image of 16x16 px is smaller than a patch of 17 px"),
    ],
)
def test_images_that_the_model_does_not_take(done, change, message):
    require_untouched(done, [change], message)


@pytest.mark.parametrize("side", ["Train", "Eval"])
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DataLoader.{}.dataset.transform_ops", {"Broken": None}, "no such thing"),
        ("DataLoader.{}.dataset.transform_ops", {"FirstChannel": None}, "expected images of shape [B, 3, H, W]"),
        ("Loss.{}", {"BrokenLoss": None}, "BrokenLoss: a loss returns one number"),
        ("Metric.{}", {"BrokenMetric": None}, "no such thing"),
    ],
)
def test_parts_of_the_users_own_that_fail(done, side, key, value, message):
    values = yaml.safe_load(done.read_text())
    *parents, last = key.format(side).split(".")
    section = values
    for parent in parents:
        section = section.setdefault(parent, {})
    section[last] = [*section.get(last, []), value]
    values["Global"]["imports"] = ["own.py"]
    done.write_text(yaml.safe_dump(values))
    require_untouched(done, [], message)


def test_mixed_images_with_a_loss_of_one_class(done):
    changes = [
        MIXED_IMAGES,
        f"Distillation={{models: {{Teacher: {{{', '.join(f'{key}: {value}' for key, value in TEACHER.items())}}}}}}}",
        "Loss.Train=[{CELoss: null}, {DistillationDKDLoss: {model_name_pairs: [[Student, Teacher]]}}]",
    ]
    require_untouched(done, changes, "mixed images (batch_transform_ops) have several target classes")


@pytest.mark.parametrize("loss", ["MultiLabelLoss", "DistillationMultiLabelLoss"])
def test_weights_by_a_ratio_that_the_data_do_not_give(digits, tmp_path, loss):
    recipe = write_multilabel_recipe(digits, tmp_path)
    train(recipe, "Global.epochs=1")
    names = "model_names: [Student], " if loss.startswith("Distillation") else ""
    changes = ["DataLoader.Train.dataset.label_ratio=false", f"Loss.Train=[{{{loss}: {{{names}weight_ratio: true}}}}]"]
    require_untouched(recipe, changes, f"{loss}.weight_ratio: needs the data set's label_ratio: true")
