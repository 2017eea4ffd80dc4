"""The calibration error against its definition."""

import math

import numpy as np
import pytest

from ppcls.errors import ConfigError
from ppcls.metric import build_metrics
from tests.metric.batching import measure, measure_in_every_way, single


def by_definition(logits, labels, bins):
    """Equation 3 of https://arxiv.org/abs/1706.04599, with bins ((m - 1) / M, m / M]."""
    exp = np.exp(logits.astype("float64"))
    probabilities = exp / exp.sum(1, keepdims=True)
    confidence, correct = probabilities.max(1), logits.argmax(1) == labels
    error, table = 0.0, []
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            error += inside.sum() / len(labels) * abs(correct[inside].mean() - confidence[inside].mean())
        table.append((inside.sum(), correct[inside].mean() if inside.any() else None))
    return error, table


@pytest.mark.parametrize("bins", [1, 15, 100])
def test_against_the_definition(bins):
    logits, labels = single(decimals=8)
    result, details = measure_in_every_way({"CalibrationError": {"bins": bins}}, logits, labels)
    error, table = by_definition(logits, labels, bins)
    assert result == {"calibration_error": pytest.approx(error, rel=1e-5)}
    assert [(row["samples"], row["accuracy"]) for row in details["bins"]] == table
    assert (details["bins"][0]["from"], details["bins"][-1]["to"]) == (0.0, 1.0)


def test_sure_and_right_or_wrong():
    logits = np.array([[99.0, 0.0], [99.0, 0.0]])
    assert measure({"CalibrationError": {}}, logits, np.array([0, 0]))[0] == {"calibration_error": 0.0}
    assert measure({"CalibrationError": {}}, logits, np.array([1, 1]))[0] == {"calibration_error": 1.0}
    assert measure({"CalibrationError": {}}, np.zeros((4, 2)), np.array([0, 0, 1, 1]))[0] == {"calibration_error": 0.0}
    assert measure({"CalibrationError": {}}, np.zeros((4, 1)), np.zeros(4, int))[0] == {"calibration_error": 0.0}


def test_nan_makes_it_nan():
    result, details = measure({"CalibrationError": {}}, np.array([[np.nan, 0.0], [9.0, 0.0]]), np.array([0, 0]))
    assert math.isnan(result["calibration_error"])
    assert sum(row["samples"] for row in details["bins"]) == 1


def test_wrong_arguments():
    for bins in (0, -1):
        with pytest.raises(ConfigError, match="bins: must be a whole number of at least 1"):
            build_metrics([{"CalibrationError": {"bins": bins}}])
    assert build_metrics([{"CalibrationError": None}, {"TopkAcc": {}}]).lower_is_better == ["calibration_error"]
