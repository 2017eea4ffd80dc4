"""Which evaluation is the best, and when a run ends for want of a better one."""

import json
import math

import pytest

from ppcls.engine import checks, load_config
from ppcls.engine.callbacks.early_stopping import evaluations_without_improvement
from ppcls.engine.state import Best
from ppcls.utils.logging import get_logger
from tests.helpers.runs import records


def test_the_best_model_by_a_loss(recipe, run):
    changes = ("Global.best_metric=CELoss", "Optimizer.lr.learning_rate=0.5", "Global.epochs=4")
    done = run("train", "-c", recipe, "-o", *changes)
    evaluations = [record for record in records(recipe.parent / "out") if record["kind"] == "eval"]
    best = min(evaluations, key=lambda record: record["CELoss"])
    assert json.loads(done.stdout) == {"CELoss": pytest.approx(best["CELoss"]), "epoch": best["epoch"]}
    values = json.loads(run("eval", "-c", recipe, "-o", "Global.pretrained_model=out/best_model").stdout)
    assert values["CELoss"] == pytest.approx(best["CELoss"], rel=1e-5)
    done = run("train", "-c", recipe, "-o", "Global.best_metric=top3", code=2)
    assert "Global.best_metric: no 'top3' is evaluated; did you mean 'top5'?" in done.stderr


@pytest.mark.parametrize(
    ("topk", "changes", "metric", "better"),
    [
        ("[1, 20]", ["Global.best_metric=top20"], "Global.best_metric: top10", "top1"),
        ("[1, 10]", ["Global.best_metric=top10"], "Global.best_metric: top10", "top1"),
        ("[20]", [], "Metric.Eval: top10", "loss"),
        ("[10, 1]", ["Global.early_stopping={patience: 3}"], "Metric.Eval: top10", "top1"),
        ("[9, 1]", [], None, None),
        ("[1, 20]", [], None, None),
        ("[20]", ["Global.best_metric=loss"], None, None),
    ],
)
def test_an_accuracy_that_is_always_one_chooses_no_model(recipe, caplog, monkeypatch, topk, changes, metric, better):
    monkeypatch.setattr(get_logger(), "propagate", True)
    config = load_config(recipe, [f"Metric.Eval=[{{TopkAcc: {{topk: {topk}}}}}]", "Arch.class_num=10", *changes])
    caplog.clear()
    best = checks.best_by(config)
    if metric is None:
        assert not caplog.text
        return
    assert best.metric == "top10"
    assert f"{metric} of 10 classes is 1 whatever the model answers: the best model is the one with" in caplog.text
    assert f"give Global.best_metric, such as {better}\n" in caplog.text
    assert ("never sees an improvement" in caplog.text) == ("early_stopping" in str(changes))


def history(values):
    """Return records of evaluations; those of other kinds, and of the trained weights beside an average, are others."""
    others = [{"kind": "eval_ema", "epoch": 1, "top1": 9.0, "loss": -9.0}]
    return others + [{"kind": "eval", "epoch": n, "top1": value, "loss": value} for n, value in enumerate(values, 1)]


def test_which_evaluation_is_the_best():
    higher, lower = Best("top1"), Best("loss", lower=True)
    values = [None, 0.5, 0.7, 0.7, 0.6]  # None: it was no number
    for epoch, value in enumerate(values, start=1):
        for best in (higher, lower):
            best.update(float("nan") if value is None else value, epoch)
    assert (higher.value, higher.epoch) == (0.7, 3)
    assert (lower.value, lower.epoch) == (0.5, 2)
    assert evaluations_without_improvement(history(values), "eval", higher, 0.0) == 2
    assert evaluations_without_improvement(history(values), "eval", lower, 0.0) == 3
    assert evaluations_without_improvement(history([None, None]), "eval", higher, 0.0) == 2
    rising = [0.5, 0.54, 0.58, 0.62, 0.71]  # each better than the one before, few by more than 0.1
    assert [evaluations_without_improvement(history(rising[:n]), "eval", higher, 0.1) for n in range(6)] == [
        *(0, 0, 1, 2, 0, 1)
    ]


def test_of_equal_evaluations_the_lower_loss_is_the_best():
    best = Best("top1")
    for epoch, (value, loss) in enumerate([(0.5, 2.0), (0.7, 1.0), (0.7, 0.9), (0.7, 0.9), (0.6, 0.1)], start=1):
        best.update(value, epoch, loss)
    assert (best.value, best.epoch, best.loss) == (0.7, 3, 0.9)
    best.update(0.7, 6, math.nan)
    best.update(math.inf, 7, 0.0)
    assert best.epoch == 3
    earlier = Best("top1", 0.7, 3)  # of a checkpoint that has no loss
    earlier.update(0.7, 4, 0.1)
    assert earlier.epoch == 3


def test_a_tie_is_broken_by_the_loss_and_after_a_break_too(recipe, run):
    # All ten classes are among the ten best, so all evaluations are equal but for their losses.
    changes = ("Metric.Eval=[{TopkAcc: {topk: [10]}}]", "Global.keep_checkpoints=null")
    run("train", "-c", recipe, "-o", *changes, "Global.epochs=3")
    out = recipe.parent / "out"
    losses = [record["loss"] for record in records(out) if record["kind"] == "eval"]
    lowest = losses.index(min(losses)) + 1
    assert lowest > 1
    saved = json.loads((out / "latest.pdstates").read_text())["best"]
    assert (saved["value"], saved["epoch"], saved["loss"]) == (1.0, lowest, min(losses))
    run("train", "-c", recipe, "-o", *changes, "Global.epochs=3", f"Global.checkpoints={out}/epoch_1")
    assert json.loads((out / "latest.pdstates").read_text())["best"] == saved


def test_a_run_that_does_not_improve_ends_and_the_count_is_resumed(recipe, run):
    still = "Optimizer={name: SGD, lr: {name: ConstLR, learning_rate: 0.0}}"
    changes = (still, "Global.early_stopping.patience=2", "Global.freeze=[stem, blocks]", "EMA.decay=0.5")
    run("train", "-c", recipe, "-o", *changes, "Global.epochs=2")
    done = run("train", "-c", recipe, "-o", *changes, "Global.epochs=9", "Global.checkpoints=out/latest")
    assert "early stopping after epoch 3: top1 has not improved by more than 0 in 2 evaluations" in done.stderr
    assert json.loads(done.stdout)["epoch"] == 1
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["epoch"] == 3
    done = run("train", "-c", recipe, "-o", *changes, "Global.epochs=9", "Global.checkpoints=auto")
    assert "early stopping after epoch 3" in done.stderr
    assert "[Train]" not in done.stderr
    done = run("train", "-c", recipe, "-o", *changes, "Global.eval_during_train=false", code=2)
    assert "Global.early_stopping: nothing is evaluated" in done.stderr


def epoch_of(prefix):
    return json.loads(prefix.with_name(prefix.name + ".pdstates").read_text())["epoch"]


def test_the_best_model_is_the_one_that_is_named(recipe, run):
    out = recipe.parent / "out"
    run("train", "-c", recipe, "-o", "Global.epochs=6", "Global.best_metric=loss", "Global.keep_checkpoints=null")
    still = ("Optimizer.lr={name: ConstLR, learning_rate: 1.0}", "Global.best_metric=loss")
    done = run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/epoch_2", *still)
    named = json.loads(done.stdout)["epoch"]
    assert epoch_of(out / "best_model") == named
