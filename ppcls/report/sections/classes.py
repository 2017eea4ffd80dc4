"""Precision, recall, F1 and images of each class."""

from __future__ import annotations

import math
from html import escape
from typing import List, Optional

import numpy as np

from ppcls.report.elements import Section, bullets, meter, paragraph, share
from ppcls.report.run_data import RunData
from ppcls.report.statistics import ClassCounts, label_precisions, taken_for
from ppcls.utils.html import details, table

_SHOWN = 30  # classes in the open; more are behind a click
_LISTED = 20  # names of a list


def classes(data: RunData) -> Optional[Section]:
    """Return the section; None without answers."""
    answers = data.answers
    if answers is None or not len(answers):
        return None
    multilabel = answers.is_multilabel
    section = Section("classes", "Labels" if multilabel else "Classes")
    counts = ClassCounts.of(answers, data.class_num)
    rows = _rows(data, counts)
    header = ["label" if multilabel else "class"]
    header += ["found (recall)", "", "right (precision)", "F1", "images", "in training"]
    header += ["average precision"] if multilabel else ["most often taken for"]
    texts = () if multilabel else (7,)
    section.body += _remarks(data, counts)
    if len(rows) <= _SHOWN:
        section.body.append(table(header, rows, texts))
    else:
        order = np.argsort(np.nan_to_num(counts.recall, nan=2.0), kind="stable")
        section.body.append(f"<h3>The {_SHOWN} of {len(rows):,} with the lowest recall</h3>")
        section.body.append(table(header, [rows[index] for index in order[:_SHOWN]], texts))
        section.body.append(details(f"all {len(rows):,}, in their order", table(header, rows, texts)))
    averages = [f"{name} {share(_mean(values))}" for name, values in _averages(counts)]
    section.body.append(paragraph(f"Means over the classes: {', '.join(averages)}.", "dim"))
    if multilabel:
        section.body.append(paragraph("A label counts as predicted where its probability is above 0.5.", "dim small"))
    return section


def _rows(data: RunData, counts: ClassCounts) -> List[List[str]]:
    answers = data.answers
    assert answers is not None
    in_training = training_counts(data)
    last = [share(value) for value in label_precisions(answers)] if answers.is_multilabel else _taken_for(data)
    rows = []
    for label, values in enumerate(zip(data.class_names, counts.recall, counts.precision, counts.f1)):
        name, recall, precision, f1 = values
        trained = "" if in_training is None else f"{in_training[label]:,}"
        numbers = [share(recall), meter(recall), share(precision), share(f1), f"{counts.support[label]:,}", trained]
        rows.append([escape(name), *numbers, last[label]])
    return rows


def _taken_for(data: RunData) -> List[str]:
    """Return which other class each one is predicted as most often."""
    assert data.answers is not None
    most = taken_for(data.answers, data.class_num)
    names = data.class_names
    return [
        f"{escape(names[most[label][0]])} ({most[label][1]:,})" if label in most else "" for label in range(len(names))
    ]


def _remarks(data: RunData, counts: ClassCounts) -> List[str]:
    never = [name for name, count in zip(data.class_names, counts.predicted) if not count]
    absent = [name for name, count in zip(data.class_names, counts.support) if not count]
    lines = []
    if never:
        lines.append(f"never predicted: {_listed(never)}")
    if absent:
        lines.append(f"no image in the evaluation: {_listed(absent)}")
    return [bullets(lines)] if lines else []


def _listed(names: List[str]) -> str:
    more = f" and {len(names) - _LISTED:,} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _averages(counts: ClassCounts) -> List[tuple]:
    # As scikit-learn and ``Metric.Eval`` have it: 0 / 0 of a class that occurs or is predicted counts as 0.
    occurs = counts.support + counts.predicted > 0
    return [
        (name, np.nan_to_num(values[occurs]))
        for name, values in (("recall", counts.recall), ("precision", counts.precision), ("F1", counts.f1))
    ]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def training_counts(data: RunData) -> Optional[np.ndarray]:
    """Return how many training images each class has; None where the data are not there."""
    if data.train is None:
        return None
    labels = data.train.labels
    if data.train.is_multilabel:
        return labels.sum(axis=0).astype(np.int64)
    return np.bincount(labels, minlength=data.class_num)[: data.class_num]
