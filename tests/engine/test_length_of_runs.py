"""Runs that do less than was asked, which the log says."""

import json
import re

import ppcls
from ppcls.engine.lr_schedule import build_lr_schedule

STEPS = 10  # updates an epoch


def warnings(caplog, recipe, lr, epochs):
    """Return what is said of a schedule."""
    caplog.clear()
    config = ppcls.load_config(recipe, {"Global.epochs": epochs, "Optimizer.lr": lr})
    build_lr_schedule(config, STEPS)
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def test_a_warm_up_as_long_as_the_run(recipe, caplog):
    lr = {"name": "Cosine", "learning_rate": 0.1, "warmup_epoch": 5}
    for epochs in (3, 5):
        (text,) = warnings(caplog, recipe, lr, epochs)
        assert f"warmup_epoch is 5, and Global.epochs is {epochs}: warming up for all of them" in text
    assert warnings(caplog, recipe, lr, 6) == []


def test_changes_of_the_rate_after_the_end(recipe, caplog):
    milestones = {"name": "MultiStepDecay", "learning_rate": 0.1, "milestones": [2, 30, 60]}
    assert warnings(caplog, recipe, milestones, 30) == [
        "Optimizer.lr.milestones: 30, 60 are after the last epoch (Global.epochs: 30): no change of the rate there"
    ]
    # They count from the end of the warm-up.
    (text,) = warnings(caplog, recipe, {**milestones, "warmup_epoch": 5}, 62)
    assert "milestones: 60 after 5 of warm-up is after the last epoch (Global.epochs: 62)" in text
    assert warnings(caplog, recipe, milestones, 61) == []
    pieces = {"name": "Piecewise", "decay_epochs": [1, 4], "values": [0.1, 0.01, 0.001]}
    (text,) = warnings(caplog, recipe, pieces, 3)
    assert "Optimizer.lr.decay_epochs: 4 is after the last epoch (Global.epochs: 3)" in text
    (text,) = warnings(caplog, recipe, {"name": "Step", "learning_rate": 0.1, "step_size": 30}, 20)
    assert "Optimizer.lr.step_size: 30 is after the last epoch (Global.epochs: 20)" in text


def test_fewer_epochs_than_were_trained(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=3")
    best = (recipe.parent / "out" / "best_model.pdparams").read_bytes()
    resumed = "Global.checkpoints=out/latest"
    done = run("train", "-c", recipe, "-o", "Global.epochs=2", resumed)
    assert "nothing to train: the checkpoint is at epoch 3, Global.epochs is 2" in done.stderr
    assert "nothing was trained; best top1" in done.stderr
    assert "training is done" not in done.stderr
    assert (recipe.parent / "out" / "best_model.pdparams").read_bytes() == best
    done = run("train", "-c", recipe, "-o", "Global.epochs=4", resumed)
    assert "nothing to train" not in done.stderr
    # The rate had fallen to the end of the cosine, and the run goes on in the middle of a longer one.
    steps = json.loads((recipe.parent / "out" / "epoch_3.pdstates").read_text())["step"]
    text = (
        r"Global.epochs was 3 and is 4, which changes the learning rate: it was (\S+) at update (\d+), the last one, "
    )
    found = re.search(text + r"and is (\S+) at update (\d+)", done.stderr)
    assert (int(found[2]), int(found[4])) == (steps, steps + 1)
    assert float(found[1]) < 0.1 * float(found[3])


def test_other_epochs_that_change_the_rates_of_a_resumed_run(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=4", "Global.keep_checkpoints=null")
    epoch = "Global.checkpoints=out/epoch_2"
    done = run("train", "-c", recipe, "-o", "Global.epochs=3", epoch)
    steps = json.loads((recipe.parent / "out" / "epoch_2.pdstates").read_text())["step"]
    assert f"Global.epochs was 4 and is 3, which changes the learning rate: at update {steps + 1} it " in done.stderr
    run("train", "-c", recipe, "-o", "Global.epochs=2", "Optimizer.lr.name=ConstLR", "Global.output_dir=still")
    done = run(
        "train", "-c", recipe, "-o", "Optimizer.lr.name=ConstLR", "Global.checkpoints=still/latest", "Global.epochs=4"
    )
    assert "which changes the learning rate" not in done.stderr
    assert "Global.epochs was 2 and is 4, which does not change the learning rate of the updates before" in done.stderr
