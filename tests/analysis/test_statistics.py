"""Intervals of shares, and McNemar's exact test."""

import pytest

from ppcls.analysis.statistics import mcnemar, wilson_interval


# From R: binom::binom.confint(x, n, methods = "wilson").
@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    [(81, 100, 0.7222, 0.8749), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (1, 1, 0.2065, 1.0), (0, 0, 0.0, 1.0)],
)
def test_wilson_interval(correct, total, low, high):
    assert wilson_interval(correct, total) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(
    ("only_first", "only_second", "expected"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (1, 9, 2 * (1 + 10) / 2**10),
        (9, 1, 2 * (1 + 10) / 2**10),
        (0, 6, 2 / 2**6),
        (400, 500, 0.00096),
    ],
)
def test_mcnemar(only_first, only_second, expected):
    assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=0.02)


def test_mcnemar_is_the_binomial_test():
    scipy = pytest.importorskip("scipy.stats")
    for pair in ((3, 17), (40, 25), (1000, 1101)):
        expected = scipy.binomtest(pair[0], sum(pair), 0.5).pvalue
        assert mcnemar(*pair) == pytest.approx(expected, rel=1e-6)
