"""``ppcls eval`` of a trained checkpoint."""

import json

import pytest

from tests.helpers.runs import flip_bit


def test_eval_repeats_what_training_measured(trained, arguments, run):
    values = json.loads(run("eval", *arguments).stdout)
    best = json.loads((trained / "out" / "best_model.pdstates").read_text())["best"]
    assert values["top1"] == best["value"] > 0.3
    assert set(values) == {"CELoss", "loss", "top1", "top5"}
    again = json.loads(run("eval", *arguments, "DataLoader.Eval.sampler.batch_size=7").stdout)
    assert again["top1"] == values["top1"]  # an uneven last batch counts every sample once
    assert again["loss"] == pytest.approx(values["loss"], rel=1e-5)


def test_damaged_weights_are_not_evaluated(recipe, run):
    run("train", "-c", recipe)
    weights = recipe.parent / "out" / "best_model"
    flip_bit(weights.with_name("best_model.pdparams"))
    assert "damaged" in run("eval", "-c", recipe, "-o", f"Global.pretrained_model={weights}", code=2).stderr
