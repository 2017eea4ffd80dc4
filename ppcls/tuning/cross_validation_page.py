"""The page of a cross-validation: mean and deviation, the folds, their curves, and the pooled confusion matrix."""

from __future__ import annotations

import shlex
from html import escape
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

import numpy as np

from ppcls.report.charts import LineChart, Matrix, Series
from ppcls.report.svg import STYLE, draw_chart
from ppcls.tuning import trials
from ppcls.tuning.sweep_page import curve
from ppcls.tuning.tables import cell, duration
from ppcls.utils.html import page, percent, table

if TYPE_CHECKING:
    from ppcls.tuning.cross_validation import CrossValidation, Pooled

_MAX_CLASSES = 40  # of a matrix; of more classes the most confused pairs are shown
_PAIRS = 50
_STYLE = STYLE + ".chart { max-width: 34rem }"


def render_folds(result: CrossValidation) -> str:
    """Return the page."""
    title = f"Cross-validation of {result.name}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{len(result.trials)} folds of {sum(result.sizes):,} images; {len(result.done)} are finished.</p>",
    ]
    if result.done:
        body += [*_summary(result), *_curves(result)]
    body += _folds(result)
    if result.pooled is not None:
        body += _pooled(result.pooled)
    return page(title, body, _STYLE)


def _summary(result: CrossValidation) -> List[str]:
    best, last = result.summary("metrics"), result.summary("last")
    names = [name for name in best if name in last]
    names.sort(key=lambda name: name != result.metric)
    rows = [[escape(name), _spread(best[name]), _spread(last[name])] for name in names]
    return [
        "<h2>Mean and deviation over the folds</h2>",
        table(["", "best epoch", "last epoch"], rows),
        f"<p class='dim'>The best epoch of a fold is chosen by {escape(result.metric)} on the fold itself, so it "
        "promises a little too much; the last epoch does not. The deviation is that of the folds "
        "(sample standard deviation).</p>",
    ]


def _spread(values: Dict[str, Optional[float]]) -> str:
    deviation = "" if values["deviation"] is None else f" &plusmn; {values['deviation']:.5f}"
    return f"{values['mean']:.5f}{deviation}"


def _curves(result: CrossValidation) -> List[str]:
    series = [Series(trial.name, curve(trial), color=number) for number, trial in enumerate(result.done)]
    chart = LineChart(f"{result.metric} by epoch", "epoch", result.metric, series)
    return [] if chart.is_empty else [draw_chart(chart)]


def _folds(result: CrossValidation) -> List[str]:
    header = ["fold", "images", "state", escape(result.metric), "best epoch", "last epoch", "time"]
    has_errors = any(trial.error for trial in result.trials)
    header += ["error"] if has_errors else []
    rows = []
    for trial, size in zip(result.trials, result.sizes):
        found = trial.result or {}
        rows.append(
            [
                trial.name,
                f"{size:,}",
                trial.state,
                cell(found.get("value")),
                cell(found.get("epoch")),
                cell(found.get("last", {}).get(result.metric)),
                duration(trial.seconds),
                *([escape(trial.error or "")] if has_errors else []),
            ]
        )
    runs = [str(result.root / trial.name) for trial in trials.done(result.trials)]
    command = escape(shlex.join(["ppcls", "report", *runs]))
    note = f"<p class='dim'>Each fold is an ordinary run. One page about them: <code>{command}</code></p>"
    return ["<h2>Folds</h2>", table(header, rows, (7,)), note if runs else ""]


def _pooled(pooled: Pooled) -> List[str]:
    names = [str(name) for name in pooled.classes]
    matrix = Matrix("Confusion matrix", names, pooled.matrix)
    body = [
        "<h2>All folds together</h2>",
        f"<p>Each image was predicted once, by the model that has not seen it: {percent(pooled.accuracy)} of "
        f"{int(pooled.matrix.sum()):,} are right. Rows are labels, columns what the models say.</p>",
        draw_chart(matrix) if len(names) <= _MAX_CLASSES else _pairs(names, pooled.matrix),
        "<h3>Classes</h3>",
    ]
    right, of_label, of_answer = np.diag(pooled.matrix), pooled.matrix.sum(1), pooled.matrix.sum(0)
    rows = [
        [escape(name), _share(right[k], of_answer[k]), _share(right[k], of_label[k]), f"{int(of_label[k]):,}"]
        for k, name in enumerate(names)
    ]
    order = np.argsort(right / np.maximum(of_label, 1), kind="stable")
    return [*body, table(["class", "precision", "recall", "images"], [rows[int(k)] for k in order])]


def _share(part: int, whole: int) -> str:
    return percent(float(part / whole)) if whole else ""


def _pairs(names: List[str], matrix: np.ndarray) -> str:
    found: List[Tuple[int, int, int]] = [
        (int(matrix[label, other]), int(label), int(other))
        for label, other in np.argwhere(matrix > 0)
        if label != other
    ]
    rows = [[escape(names[label]), escape(names[other]), f"{n:,}"] for n, label, other in sorted(found)[::-1][:_PAIRS]]
    return table(["label", "taken for", "images"], rows, (1,))
