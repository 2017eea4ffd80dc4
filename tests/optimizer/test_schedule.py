"""Schedules against closed forms, and against Paddle's own schedulers."""

import logging
import math
import subprocess
import sys

import pytest
from paddle.optimizer import lr as paddle_lr

from ppcls.errors import ConfigError
from ppcls.optimizer import SCHEDULES, build_schedule
from tests.optimizer.schedules import build


def test_cosine():
    schedule = build(name="Cosine", learning_rate=1.0, eta_min=0.1, warmup_epoch=2, warmup_start_lr=0.2)
    assert schedule.lr_at(0) == 0.2
    assert schedule.lr_at(5) == pytest.approx(0.6)
    assert schedule.lr_at(9) == pytest.approx(0.2 + 0.8 * 0.9)
    assert schedule.lr_at(10) == 1.0
    assert schedule.lr_at(30) == pytest.approx(0.55)
    assert schedule.lr_at(49) == pytest.approx(0.1 + 0.9 * (1 + math.cos(math.pi * 39 / 40)) / 2)
    assert schedule.lr_at(50) == pytest.approx(0.1)
    assert schedule.lr_at(10**9) == schedule.lr_at(50)


def test_cosine_by_epoch():
    schedule = build(name="Cosine", learning_rate=1.0, warmup_epoch=2, by_epoch=True)
    assert [schedule.lr_at(step) for step in (0, 4, 5, 9, 10, 14)] == [0, 0, 0.5, 0.5, 1, 1]
    assert schedule.lr_at(34) == schedule.lr_at(30) == pytest.approx(0.5)
    assert schedule.lr_at(49) == pytest.approx((1 + math.cos(math.pi * 7 / 8)) / 2)
    assert schedule.lr_at(50) == pytest.approx(0)


@pytest.mark.parametrize("name", ["ConstLR", "Constant"])
def test_constant(name):
    schedule = build(name=name, learning_rate=1e-5, warmup_epoch=0.4)
    assert [schedule.lr_at(step) for step in (0, 1, 2, 49, 99)] == [0, 0.5e-5, 1e-5, 1e-5, 1e-5]


def test_triangle():
    schedule = build(name="Linear", learning_rate=1.0, warmup_epoch=4)
    rates = [schedule.lr_at(step) for step in range(51)]
    assert rates == pytest.approx([step / 20 if step < 20 else (50 - step) / 30 for step in range(51)])


def test_linear_power():
    schedule = build(name="Linear", learning_rate=1.0, end_lr=0.5, power=2)
    assert [schedule.lr_at(step) for step in (0, 25, 50)] == [1.0, 0.625, 0.5]


def test_steps():
    schedule = build(name="Step", learning_rate=1.0, step_size=3, gamma=0.5)
    assert [schedule.lr_at(step) for step in (0, 14, 15, 29, 30, 45, 50)] == [1, 1, 0.5, 0.5, 0.25, 0.125, 0.125]
    schedule = build(name="Step", learning_rate=1.0, step_size=3, gamma=0.5, warmup_epoch=1)
    assert [schedule.lr_at(step) for step in (0, 5, 19, 20)] == [0, 1, 1, 0.5]


def test_milestones():
    schedule = build(name="MultiStepDecay", learning_rate=1.0, milestones=[3, 6.2])
    assert [schedule.lr_at(step) for step in (14, 15, 30, 31)] == pytest.approx([1, 0.1, 0.1, 0.01])


@pytest.mark.parametrize("by_epoch", [False, True])
def test_pieces(by_epoch):
    schedule = build(name="Piecewise", decay_epochs=[3, 6], values=[0.1, 0.01, 0.001], by_epoch=by_epoch)
    assert [schedule.lr_at(step) for step in (0, 14, 15, 29, 30, 50)] == [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]


@pytest.mark.parametrize("by_epoch", [False, True])
@pytest.mark.parametrize("given", [{}, {"decay_epochs": [10, 20], "values": [0.5, 0.2, 0.1]}])
def test_pieces_of_one_rate_are_a_tenth_every_thirty_epochs(given, by_epoch, caplog):
    caplog.set_level(logging.WARNING, logger="ppcls")
    logging.getLogger("ppcls").addHandler(caplog.handler)
    arguments = {"name": "Piecewise", "learning_rate": 0.2, "warmup_epoch": 5, "by_epoch": by_epoch, **given}
    schedule = build_schedule(arguments, epochs=100, steps_per_epoch=4)
    logging.getLogger("ppcls").removeHandler(caplog.handler)
    # As PaddleClas computes it: boundaries count from the end of the warm-up.
    milestones = list(range(0, 100, 30))[1:]
    expected = [0.2 * 0.1 ** sum(epoch - 5 >= milestone for milestone in milestones) for epoch in range(5, 100)]
    assert [schedule.lr_at(4 * epoch) for epoch in range(5, 100)] == pytest.approx(expected)
    assert schedule.lr_at(10) == pytest.approx(0.1, rel=0.25)
    assert ("0.2, after 30 epochs 0.02, after 60 epochs 0.002, after 90" in caplog.text) == bool(given)


@pytest.mark.parametrize("epochs", [1, 29, 30, 31])
def test_pieces_of_one_rate_in_a_short_run(epochs):
    schedule = build_schedule({"name": "Piecewise", "learning_rate": 0.2}, epochs=epochs, steps_per_epoch=2)
    rates = [schedule.lr_at(step) for step in range(2 * epochs)]
    assert rates == pytest.approx([0.2 if step < 60 else 0.02 for step in range(2 * epochs)])


def test_only_warmup():
    schedule = build(name="Cosine", learning_rate=1.0, warmup_epoch=10)
    assert schedule.lr_at(49) == pytest.approx(0.98)
    assert schedule.lr_at(50) == schedule.lr_at(60) == 1.0


# Paddle's own, as PaddleClas sets them up, for 10 epochs of 5 updates.
PADDLE = {
    "Cosine": ({"eta_min": 0.01}, lambda n: paddle_lr.CosineAnnealingDecay(0.5, T_max=50 - n, eta_min=0.01)),
    "Linear": (
        {"end_lr": 0.02, "power": 1.5},
        lambda n: paddle_lr.PolynomialDecay(0.5, decay_steps=50 - n, end_lr=0.02, power=1.5),
    ),
    "Step": ({"step_size": 2, "gamma": 0.3}, lambda n: paddle_lr.StepDecay(0.5, step_size=10, gamma=0.3)),
    "MultiStepDecay": (
        {"milestones": [2, 5], "gamma": 0.3},
        lambda n: paddle_lr.MultiStepDecay(0.5, milestones=[10, 25], gamma=0.3),
    ),
}


@pytest.mark.parametrize("warmup", [0, 1.4])
@pytest.mark.parametrize("name", PADDLE)
def test_against_paddle(name, warmup):
    arguments, make = PADDLE[name]
    updates = round(warmup * 5)
    theirs = make(updates)
    if updates:
        theirs = paddle_lr.LinearWarmup(theirs, warmup_steps=updates, start_lr=0.001, end_lr=0.5)
    start = {"warmup_epoch": warmup, "warmup_start_lr": 0.001} if updates else {}
    ours = build(name=name, learning_rate=0.5, **arguments, **start)
    for step in range(50):
        assert ours.lr_at(step) == pytest.approx(theirs(), rel=1e-6), step
        theirs.step()


@pytest.mark.parametrize("name", sorted(set(SCHEDULES.names()) - {"Piecewise", "PiecewiseLinear", "Cyclic"}))
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate: must be a number of at least 0, not -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate: must be a finite number"),
        ({"warmup_epoch": 11}, "warmup_epoch: must be at most 10, the number of epochs, not 11"),
        ({"warmup_epoch": -1}, "warmup_epoch: must be"),
        ({"warmup_start_lr": -0.1}, "warmup_start_lr: must be"),
        ({"warm_up_epoch": 1}, "did you mean 'warmup_epoch'"),
        ({"epochs": 5}, "unknown argument 'epochs'"),
    ],
)
def test_wrong_arguments(name, arguments, message):
    needed = {"Step": {"step_size": 1}, "MultiStepDecay": {"milestones": [1]}}.get(name, {})
    with pytest.raises(ConfigError, match=message):
        build_schedule({"name": name, "learning_rate": 0.1, **needed, **arguments}, epochs=10, steps_per_epoch=5)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"learning_rate": 1.0}, "name is missing"),
        ({"name": "Cosin", "learning_rate": 1.0}, "did you mean 'Cosine'"),
        ({"name": "Cosine"}, "missing argument learning_rate"),
        ({"name": "Cosine", "learning_rate": 1.0, "eta_min": -1.0}, "eta_min"),
        ({"name": "Linear", "learning_rate": 1.0, "power": 0}, "power"),
        ({"name": "Step", "learning_rate": 1.0, "step_size": 0}, "step_size"),
        ({"name": "MultiStepDecay", "learning_rate": 1.0, "milestones": [3, 2]}, "milestones: must be increasing"),
        ({"name": "Piecewise", "decay_epochs": [1, 2], "values": [1.0, 0.1]}, "2 decay_epochs need 3 values, got 2"),
        ({"name": "Piecewise", "decay_epochs": [1], "values": [1.0, -0.1]}, "values: must be"),
        ({"name": "Piecewise", "values": [1.0, 0.1]}, "decay_epochs: missing; give it, or learning_rate"),
        ({"name": "Piecewise"}, "decay_epochs: missing"),
        ({"name": "Piecewise", "learning_rate": 0}, "learning_rate: must be a positive number"),
    ],
)
def test_wrong_recipes(args, message):
    with pytest.raises(ConfigError, match=message):
        build(**args)


def test_without_paddle():
    code = "import sys; from ppcls.optimizer import build_schedule; sys.exit('paddle' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_cooldown_and_a_warm_up_that_covers_the_start():
    """timm's: the cosine runs over the first 300 of 310 epochs, its first 5 are covered by the warm-up."""
    arguments = {"learning_rate": 5e-4, "eta_min": 1e-5, "warmup_epoch": 5, "warmup_start_lr": 1e-4, "by_epoch": True}
    schedule = build(310, 2, name="Cosine", warmup_prefix=False, cooldown_epoch=10, **arguments)

    def timm(epoch):
        if epoch < 5:
            return 1e-4 + epoch * (5e-4 - 1e-4) / 5
        return 1e-5 + 0.5 * (5e-4 - 1e-5) * (1 + math.cos(math.pi * epoch / 300)) if epoch < 300 else 1e-5

    for step in range(620):
        assert schedule.lr_at(step) == pytest.approx(timm(step // 2), rel=1e-12), step
    plain = build(10, 5, name="Cosine", learning_rate=1.0, warmup_epoch=2, cooldown_epoch=3)
    assert plain.lr_at(10) == 1.0
    assert plain.lr_at(22) == pytest.approx(0.5, abs=0.05)
    assert [plain.lr_at(step) for step in (35, 42, 50)] == [0, 0, 0]
