"""The range test of the learning rate."""

import math

import pytest

import ppcls
from ppcls.engine import load_config, lr_range_test
from ppcls.engine.lr_range_test import bounded, run_range_test, smooth, suggest
from ppcls.errors import ConfigError


def test_growing_rates(recipe, tmp_path):
    config = load_config(recipe)
    result = run_range_test(config, 1e-4, 1.0)
    assert len(result.rates) == len(result.losses) == len(result.smoothed) <= lr_range_test._STEPS
    ratios = [second / first for first, second in zip(result.rates, result.rates[1:])]
    assert result.rates[0] == pytest.approx(1e-4)
    assert ratios == pytest.approx([10 ** (4 / 99)] * len(ratios))
    assert result.losses[0] == pytest.approx(math.log(10), rel=0.3)
    assert 1e-4 <= result.suggestion <= 1.0
    assert result.images_per_second > 0
    assert not (tmp_path / "out").exists()


def test_a_run_is_the_same_after_a_range_test(recipe, tmp_path):
    first = ppcls.train(recipe, changes=[f"Global.output_dir={tmp_path}/first"])
    run_range_test(load_config(recipe))
    second = ppcls.train(recipe, changes=[f"Global.output_dir={tmp_path}/second"])
    assert first.history == second.history
    files = [(result.run_dir / "latest.pdparams").read_bytes() for result in (first, second)]
    assert files[0] == files[1]


def test_accumulated_batches_make_one_update(recipe):
    result = run_range_test(load_config(recipe, {"Global.update_freq": 2}), seconds=0.001)
    assert len(result.rates) <= lr_range_test._FEWEST_STEPS


def test_a_quarter_of_the_rate_of_the_lowest_loss():
    rates = [10.0**power for power in range(-6, 1)]
    assert suggest(rates, [2.3, 2.2, 2.3, 1.9, 1.5, 1.4, 5.0]) == pytest.approx(0.1 / 4)
    assert suggest(rates, [2.3, 2.29, 2.28, 2.27, 2.26, 3.0, 4.0]) == pytest.approx(0.01 / 4)


def test_smoothing_does_not_lag_at_the_beginning():
    assert smooth([2.0, 2.0, 2.0]) == pytest.approx([2.0, 2.0, 2.0])
    means = smooth([1.0, 0.0])
    assert means == pytest.approx([1.0, 0.9 * 0.1 / 0.19])


def test_limits_of_a_suggestion():
    assert bounded(0.00312, 0.001, 0.01) == (0.0031, None)
    rate, note = bounded(0.3, 0.001, 0.01)
    assert rate == 0.01
    assert note == "the range test suggests 3.0e-01, outside of 0.001 to 0.01"


def test_mistakes(recipe):
    with pytest.raises(ConfigError, match=r"must be positive and grow, not from 1 to 0\.1"):
        run_range_test(load_config(recipe), 1.0, 0.1)
    with pytest.raises(ConfigError, match="must be positive, not 0 seconds"):
        run_range_test(load_config(recipe), seconds=0)
