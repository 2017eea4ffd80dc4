"""Rates that rise before they fall, and rates that follow evaluations: against closed forms and Paddle's own."""

import json

import numpy as np
import pytest
from paddle.optimizer import lr as paddle_lr

from ppcls.errors import ConfigError
from ppcls.utils.digests import sha256
from tests.helpers.runs import records
from tests.optimizer.schedules import build

# -- up and down -------------------------------------------------------------------------------------------------


def test_the_triangle_of_convmixer():
    schedule = build(name="PiecewiseLinear", learning_rate=0.05, points=[[0, 0], [0.4, 1], [0.8, 0.05], [1, 0]])
    expected = {0: 0, 10: 0.025, 20: 0.05, 30: 0.05 * (1 - 0.95 / 2), 40: 0.0025, 45: 0.00125, 50: 0, 99: 0}
    assert {step: schedule.lr_at(step) for step in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0]], "at least two"),
        ([[0, 0], [1]], "at least two"),
        ([[0, 1], [0.5, 0]], "from 0 to 1"),
        ([[0, 1], [0.5, 0], [0.5, 1], [1, 0]], "increasing"),
        ([[0, -1], [1, 0]], "at least 0"),
    ],
)
def test_wrong_points(points, message):
    with pytest.raises(ConfigError, match=message):
        build(name="PiecewiseLinear", learning_rate=1.0, points=points)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_one_cycle_is_paddles(three_phase, strategy):
    arguments = {"anneal_strategy": strategy, "three_phase": three_phase, "phase_pct": 0.3, "end_learning_rate": 1e-5}
    theirs = paddle_lr.OneCycleLR(max_learning_rate=0.1, total_steps=50, **arguments)
    ours = build(name="OneCycleLR", max_learning_rate=0.1, **arguments)
    for step in range(50):
        assert ours.lr_at(step) == pytest.approx(theirs.get_lr(), rel=1e-9), step
        if step < 49:
            theirs.step()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"phase_pct": 0}, "phase_pct: must be"),
        ({"phase_pct": 0.6, "three_phase": True}, "at most 0.5"),
        ({"anneal_strategy": "cosine"}, "anneal_strategy: must be"),
        ({"divide_factor": 0}, "divide_factor"),
        ({"cooldown_epoch": 11}, "cooldown_epoch: must be at most 10"),
    ],
)
def test_wrong_cycles(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(name="OneCycleLR", max_learning_rate=0.1, **arguments)


def test_convmixers_triangle_has_a_name():
    """https://github.com/locuslab/convmixer, train.py: an interpolation between four points."""
    schedule = build(25, 98, name="Triangular", learning_rate=0.05)
    for step in range(0, 25 * 98, 7):
        expected = np.interp(step / 98, [0, 25 * 2 / 5, 25 * 4 / 5, 25], [0, 0.05, 0.05 / 20, 0])
        assert schedule.lr_at(step) == pytest.approx(expected, abs=1e-12)
    other = build(name="Triangular", learning_rate=1.0, peak_at=0.2, low_at=0.5, low=0.5)
    assert [other.lr_at(step) for step in (5, 10, 25, 50)] == pytest.approx([0.5, 1, 0.5, 0])


def test_a_warm_up_leads_to_where_the_cycle_begins():
    schedule = build(
        name="PiecewiseLinear", learning_rate=1.0, points=[[0, 0.2], [0.5, 1], [1, 0]], warmup_epoch=2, cooldown_epoch=2
    )
    assert [schedule.lr_at(step) for step in (0, 5, 10, 25, 40, 45)] == pytest.approx([0, 0.1, 0.2, 1, 0, 0], abs=1e-12)
    schedule = build(name="OneCycleLR", learning_rate=1.0, divide_factor=10, warmup_epoch=2)
    assert schedule.lr_at(9) == pytest.approx(0.09)
    assert schedule.lr_at(10) == pytest.approx(0.1)


def test_one_cycle_takes_either_name_of_the_rate():
    one, other = (build(name="OneCycleLR", **{key: 0.1}) for key in ("learning_rate", "max_learning_rate"))
    assert [one.lr_at(step) for step in range(50)] == [other.lr_at(step) for step in range(50)]


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize("down", [None, 4])
def test_cycles_are_paddles(mode, down):
    arguments = {"base_learning_rate": 0.1, "max_learning_rate": 0.5, "step_size_up": 7, "step_size_down": down}
    theirs = paddle_lr.CyclicLR(**arguments, mode=mode, exp_gamma=0.97)
    ours = build(name="Cyclic", **arguments, mode=mode, exp_gamma=0.97)
    for step in range(50):
        assert ours.lr_at(step) == pytest.approx(theirs.get_lr(), rel=1e-9), step
        theirs.step()
    by_epoch = build(name="Cyclic", **{**arguments, "step_size_up": 2}, mode=mode, by_epoch=True)
    assert by_epoch.lr_at(5) == by_epoch.lr_at(9) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"name": "OneCycleLR"}, "max_learning_rate: give either it or learning_rate"),
        ({"name": "OneCycleLR", "max_learning_rate": 0.1, "learning_rate": 0.1}, "give either it or learning_rate"),
        ({"name": "OneCycleLR", "max_learning_rate": -0.1}, "max_learning_rate: must be"),
        ({"name": "Triangular", "learning_rate": 0.1, "peak_at": 0.9}, "peak_at: must be"),
        ({"name": "Triangular", "learning_rate": 0.1, "low": -1}, "low: must be"),
        ({"name": "Cyclic", "base_learning_rate": 1, "max_learning_rate": 0.5, "step_size_up": 1}, "at least 1"),
        (
            {"name": "Cyclic", "base_learning_rate": 0, "max_learning_rate": 1, "step_size_up": 0},
            "step_size_up: must be",
        ),
        (
            {"name": "Cyclic", "base_learning_rate": 0, "max_learning_rate": 1, "step_size_up": 1, "mode": "up"},
            "mode: must be one of 'triangular', 'triangular2', 'exp_range', not 'up'",
        ),
    ],
)
def test_wrong_arguments_of_cycles(args, message):
    with pytest.raises(ConfigError, match=message):
        build(**args)


# -- following evaluations ---------------------------------------------------------------------------------------

VALUES = [0.1, 0.3, 0.3, 0.2999, 0.29, 0.31, 0.35, 0.34, 0.33, 0.32, 0.31, 0.3, 0.3, 0.36, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize(("threshold", "threshold_mode"), [(1e-4, "rel"), (0.05, "rel"), (0.02, "abs")])
@pytest.mark.parametrize(("patience", "cooldown"), [(0, 0), (1, 2), (3, 0)])
def test_plateaus_are_paddles(mode, threshold, threshold_mode, patience, cooldown):
    arguments = {"mode": mode, "threshold": threshold, "threshold_mode": threshold_mode, "patience": patience}
    arguments.update(cooldown=cooldown, factor=0.3, min_lr=1e-3)
    theirs = paddle_lr.ReduceOnPlateau(0.5, **arguments)
    ours = build(name="ReduceOnPlateau", learning_rate=0.5, **arguments)
    for step, value in enumerate(VALUES):
        assert ours.lr_at(step) == pytest.approx(theirs.last_lr, rel=1e-9), step
        # A checkpoint in between changes nothing.
        state = json.loads(json.dumps(ours.state()))
        ours = build(name="ReduceOnPlateau", learning_rate=0.5, **arguments)
        ours.load_state(state)
        theirs.step(value)
        ours.on_evaluation(step, value, float("nan"))
    assert ours.lr_at(49) < 0.5


def test_the_loss_can_be_watched_and_the_warm_up_does_not_count():
    schedule = build(name="ReduceOnPlateau", learning_rate=1.0, monitor="loss", patience=0, warmup_epoch=2)
    for step, loss in ((5, 1.0), (9, 9.0)):
        schedule.on_evaluation(step, 0.0, loss)
    assert [schedule.lr_at(step) for step in (5, 10)] == [0.5, 1.0]
    for loss in (3.0, 2.0, float("nan")):
        schedule.on_evaluation(20, 0.0, loss)
    assert schedule.lr_at(20) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 1.0}, "factor: must be"),
        ({"mode": "maximum"}, "mode: must be one of 'min', 'max', not 'maximum'"),
        ({"monitor": "top1"}, "monitor: must be one of 'metric', 'loss'"),
        ({"threshold_mode": "relative"}, "threshold_mode: must be"),
        ({"patience": -1}, "patience: must be"),
        ({"cooldown_epoch": 1}, "has no fixed end"),
    ],
)
def test_wrong_arguments_of_plateaus(arguments, message):
    with pytest.raises(ConfigError, match=message):
        build(name="ReduceOnPlateau", learning_rate=1.0, **arguments)


def test_a_resumed_run_remembers_its_evaluations(recipe, run):
    """No evaluation is 10 better than the first, so the third one halves the rate: after a resumption, too."""
    lr = "{name: ReduceOnPlateau, learning_rate: 0.01, factor: 0.5, patience: 1, threshold: 10, "
    changes = ("Global.epochs=4", f"Optimizer.lr={lr}threshold_mode: abs}}")
    whole, rest = recipe.parent / "out", recipe.parent / "rest"
    done = run("train", "-c", recipe, "-o", *changes)
    assert "metric has not improved on" in done.stderr
    rates = {record["epoch"]: record["lr"] for record in records(whole) if record["kind"] == "train"}
    assert rates == {1: 0.01, 2: 0.01, 3: 0.01, 4: 0.005}
    run("train", "-c", recipe, "-o", *changes, f"Global.output_dir={rest}", f"Global.checkpoints={whole}/epoch_2")
    assert {record["epoch"]: record["lr"] for record in records(rest) if record["kind"] == "train"}[4] == 0.005
    for name in ("latest.pdparams", "latest.pdopt"):
        assert sha256(rest / name) == sha256(whole / name)
    done = run("train", "-c", recipe, "-o", *changes, "Global.eval_during_train=false", code=2)
    assert "ReduceOnPlateau follows evaluations" in done.stderr
