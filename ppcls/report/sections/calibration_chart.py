"""Whether 90 % means that nine of ten such answers are right."""

from __future__ import annotations

from typing import Optional

from ppcls.report.charts import BarChart, LineChart, Series
from ppcls.report.elements import Charts, Section, paragraph
from ppcls.report.run_data import RunData
from ppcls.report.statistics import BINS, calibration
from ppcls.utils.html import percent

_SMALL = 0.02  # difference of confidence and accuracy that is not worth a word


def calibration_chart(data: RunData, charts: Charts) -> Optional[Section]:
    """Return the section; None without answers."""
    answers = data.answers
    if answers is None or not len(answers):
        return None
    found = calibration(answers)
    section = Section("calibration", "Calibration")
    what = "labels with this probability that are there" if answers.is_multilabel else "share of right answers"
    gap = found.confidence - found.accuracy
    if abs(gap) < _SMALL:
        verdict = "the model is about as sure as it should be"
    else:
        verdict = "the model is too sure of itself" if gap > 0 else "the model is less sure than it could be"
    section.body.append(
        paragraph(
            f"Expected calibration error {percent(found.error)}, over {BINS} bins: {verdict} (mean probability "
            f"{percent(found.confidence)}, {what} {percent(found.accuracy)})."
        )
    )
    points = [(confidence, accuracy) for confidence, accuracy, _ in found.bins]
    diagram = LineChart(
        "Reliability: share that is right by probability",
        "probability of the answer",
        "",
        [Series("perfect", [(0.0, 0.0), (1.0, 1.0)], "dashed", 7), Series("this model", points, "line+points", 0)],
        y_range=(0.0, 1.0),
    )
    labels = [f"{(index + 0.5) / BINS:.2f}" for index in range(BINS)]
    histogram = BarChart("How sure the answers are", "probability of the answer", "", labels, found.counts)
    section.body.append(charts.show([("reliability", diagram), ("confidence", histogram)]))
    return section
