"""``ppcls eval`` of a trained checkpoint."""

import json
import shutil

import pytest

from tests.helpers.runs import flip_bit


def test_eval_repeats_what_training_measured(trained, arguments, run):
    done = run("eval", *arguments)
    values = json.loads(done.stdout)
    best = json.loads((trained / "out" / "best_model.pdstates").read_text())["best"]
    assert f"[Eval][Epoch {best['epoch']}][Avg]CELoss: " in done.stderr
    assert values["top1"] == best["value"] > 0.3
    assert set(values) == {"CELoss", "loss", "top1", "top5"}
    again = json.loads(run("eval", *arguments, "DataLoader.Eval.sampler.batch_size=7").stdout)
    assert again["top1"] == values["top1"]  # an uneven last batch counts every sample once
    assert again["loss"] == pytest.approx(values["loss"], rel=1e-5)


def test_the_log_of_weights_without_a_checkpoint_names_no_epoch(trained, recipe, run):
    shutil.copy(trained / "out" / "best_model.pdparams", recipe.parent / "alone.pdparams")
    change = f"Global.pretrained_model={recipe.parent / 'alone'}"
    log = run("eval", "-c", recipe, "--tta", "flip", "-o", change).stderr
    assert "[Eval][Avg]CELoss: " in log
    assert "[Eval][tta: flip]top1: " in log


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
