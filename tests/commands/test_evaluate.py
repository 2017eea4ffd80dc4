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


def test_images_to_predict_are_not_predicted_and_the_message_says_how(trained, arguments, run):
    done = run("eval", *arguments, "Infer.infer_imgs=some folder/a.png")
    assert "it does not predict Infer.infer_imgs. To predict, type: python tools/infer.py -c" in done.stderr
    assert "-o 'Infer.infer_imgs=some folder/a.png'" in done.stderr
    assert json.loads(done.stdout)["top1"] > 0.3
    assert "To predict" not in run("eval", *arguments).stderr  # what the recipe itself names was not asked for
