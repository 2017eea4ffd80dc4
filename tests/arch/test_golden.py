"""Parity with the reference implementations: parameters to the unit, logits, training loss and gradients."""

import pytest

from ppcls.arch import list_models, spec
from tests.goldens import compare

REFERENCE = compare.reference()


def test_every_variant_has_a_reference():
    missing = set(list_models()) - {entry.split("@")[0] for entry in REFERENCE}
    assert missing == {"ConvMixer_256_8"}  # for CIFAR-10; the same code as ConvMixer_1024_20


@pytest.mark.parametrize("entry", REFERENCE)
def test_logits(entry, record_property):
    model, _ = compare.load_reference(entry)
    facts = spec(entry.split("@")[0])
    assert sum(p.size for p in model.parameters() if p.trainable) == facts.params == REFERENCE[entry]["params"]
    # Two images for the smallest of each family; the others answer one image as they answer several.
    difference = compare.logits_difference(entry, model, images=2 if "train" in REFERENCE[entry] else 1)
    record_property("difference", difference)
    assert difference < 1e-5


@pytest.mark.parametrize("entry", [entry for entry, facts in REFERENCE.items() if "train" in facts])
def test_training(entry, record_property):
    model, report = compare.load_reference(entry)
    differences = compare.training_differences(entry, model, report)
    loss = differences.pop("loss")
    record_property("difference", max(differences.values()))
    assert loss < 1e-5
    trained = [name for name, _ in model.named_parameters() if not name.endswith(("_mean", "_variance"))]
    assert sorted(differences) == sorted(trained)
    # 1e-3 because the reference summed the squares of a million numbers in float32.
    assert {name: difference for name, difference in differences.items() if not difference < 1e-3} == {}
