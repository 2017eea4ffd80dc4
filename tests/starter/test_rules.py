"""The table of rules, and what follows from facts."""

import dataclasses

import pytest

from ppcls.starter.rules import RULES, Facts, choose, table
from tests.helpers.recipes import ROOT

FACTS = Facts(images=400, classes=5, short_side=160, device="cpu", cores=2, is_symmetric=True, has_validation=False)


def chosen(**changes):
    return {name: choice.value for name, choice in choose(dataclasses.replace(FACTS, **changes)).items()}


def test_every_setting_has_a_last_rule():
    settings = {rule.setting for rule in RULES}
    assert set(choose(FACTS)) == settings
    weights = {"weights": "ConvMLP_S", "weights_image_size": 224}
    assert set(choose(dataclasses.replace(FACTS, device="gpu", **weights))) == settings


def test_the_table_in_the_documentation():
    text = (ROOT / "docs" / "own_photos.md").read_text(encoding="utf-8")
    assert table() in text, "write ppcls.starter.rules.table() into docs/own_photos.md"


def test_small_images_are_not_enlarged():
    assert chosen(short_side=28)["image size"] == 32


@pytest.mark.parametrize(("images", "share"), [(400, 0.2), (4_999, 0.2), (5_000, 0.1)])
def test_share_for_validation(images, share):
    assert chosen(images=images)["validation"] == share
    assert chosen(images=images, has_validation=True)["validation"] is None


def test_mirror_images_follow_the_test():
    assert chosen()["mirror images"] is True
    assert chosen(is_symmetric=False)["mirror images"] is False


def test_weights_at_hand_decide_the_rest():
    values = chosen(weights="ConvMLP_S", weights_image_size=224)
    assert (values["image size"], values["mixing"], values["learning rate"]) == (160, None, (2e-3, 4e-4))
    assert chosen(weights="ConvMixer", weights_image_size=64)["image size"] == 64
    assert chosen(weights="ConvMLP_S", weights_image_size=224, device="gpu")["image size"] == 224
