"""A recipe's schedule, fitted to the length of the run and to the batch."""

import logging

import pytest

import ppcls
from ppcls.engine import lr_schedule
from ppcls.errors import ConfigError


def rates(recipe, lr, *changes, steps=10, epochs=4):
    config = ppcls.load_config(recipe, [f"Global.epochs={epochs}", f"Optimizer.lr={lr}", *changes])
    schedule = lr_schedule.build_lr_schedule(config, steps)
    return [schedule.lr_at(step) for step in range(0, epochs * steps, steps)]


DOUBLED = "Optimizer.lr_scaling={base_batch_size: 8}"  # the recipe's batches have 16 images


@pytest.mark.parametrize(
    ("lr", "expected"),
    [
        ("{name: Piecewise, decay_epochs: [1, 2], values: [1, 0.5, 0.1]}", [2, 1, 0.2, 0.2]),
        ("{name: Linear, learning_rate: 1, end_lr: 0.4}", [2, 1.6, 1.2, 0.8]),
        ("{name: Linear, learning_rate: 1, warmup_epoch: 2, warmup_start_lr: 1}", [1, 1.5, 2, 1]),
        ("{name: Cyclic, base_learning_rate: 1, max_learning_rate: 2, step_size_up: 20}", [2, 3, 4, 3]),
        ("{name: OneCycleLR, max_learning_rate: 1, divide_factor: 2, phase_pct: 1.0}", [1, None, None, None]),
    ],
)
def test_the_rates_of_the_batch_follow_it_and_the_ends_stay(recipe, lr, expected):
    found = rates(recipe, lr, DOUBLED)
    assert [rate for rate, wanted in zip(found, expected) if wanted is not None] == pytest.approx(
        [wanted for wanted in expected if wanted is not None]
    )
    assert rates(recipe, lr, DOUBLED, "Optimizer.lr_scaling.rule=none") == rates(recipe, lr)
    quadrupled = rates(recipe, lr, "Optimizer.lr_scaling={base_batch_size: 4, rule: sqrt}")
    assert quadrupled == pytest.approx(found)


def test_short_trials_have_no_cooldown_and_say_so(recipe, caplog):
    caplog.set_level(logging.WARNING, logger="ppcls")
    logging.getLogger("ppcls").addHandler(caplog.handler)
    lr = "{name: Linear, learning_rate: 1, warmup_epoch: 2, cooldown_epoch: 10}"
    assert rates(recipe, lr, epochs=4) == pytest.approx([0, 0.5, 1, 0.5])
    assert "cooldown_epoch is 10, longer than what warm-up leaves of 4 epochs; the cooldown is left out" in caplog.text
    assert rates(recipe, lr, epochs=1) == [0]
    assert "warming up for all of them" in caplog.text
    logging.getLogger("ppcls").removeHandler(caplog.handler)


def test_points_and_table(recipe):
    config = ppcls.load_config(recipe, ["Global.epochs=100", "Optimizer.lr.warmup_epoch=0.001"])
    schedule, points = lr_schedule.schedule_points(config, 5000)
    assert len(points) <= 2003
    assert [step for step, _ in points][:2] == [0, 5]  # the end of the warm-up is there, however short
    assert points[-1] == (499_999, schedule.lr_at(499_999))
    assert all(rate == schedule.lr_at(step) for step, rate in points)
    table = lr_schedule.summarize(schedule, points)
    assert (table["first"], table["after_warmup"], table["peak"], table["peak_epoch"]) == (0, 0.01, 0.01, 0.001)
    assert table["50 %"] == pytest.approx(0.005, rel=1e-3)
    counted, _ = lr_schedule.schedule_points(config)
    assert counted.timing.steps_per_epoch == 8  # 120 images in batches of 16
    one = ppcls.load_config(recipe, ["Global.epochs=1"])
    assert [step for step, _ in lr_schedule.schedule_points(one, 1)[1]] == [0]
    with pytest.raises(ConfigError, match="without the data, give --steps-per-epoch"):
        lr_schedule.schedule_points(ppcls.load_config(recipe, ["DataLoader.Train.dataset.image_root=/nowhere"]))
