"""Means, deviations and tables."""

from ppcls.tuning.tables import duration, format_table, summarize


def test_summary():
    summary = summarize([{"top1": 0.5, "loss": 2.0}, {"top1": 0.7, "loss": None}, {"top1": 0.9, "loss": 1.0}])
    assert set(summary) == {"top1"}  # of the loss one is not known
    assert abs(summary["top1"]["mean"] - 0.7) < 1e-12
    assert abs(summary["top1"]["deviation"] - 0.2) < 1e-12  # with n - 1
    assert summarize([{"top1": 0.5}]) == {"top1": {"mean": 0.5, "deviation": None}}


def test_table():
    text = format_table(["name", "top1", "n"], [["a", 0.5, 10], ["longer", None, 9]])
    assert text.splitlines() == [
        "name       top1   n",
        "a       0.50000  10",
        "longer        -   9",
    ]


def test_duration():
    assert [duration(seconds) for seconds in (4.4, 99, 600, 9000)] == ["4 s", "99 s", "10 min", "2.5 h"]
