"""Which classes are taken for which: a matrix whose cells open their pictures, or the most confused pairs."""

from __future__ import annotations

from html import escape
from typing import Dict, List, Optional, Tuple

import numpy as np

from ppcls.engine.predictions import Predictions
from ppcls.report.charts import Matrix
from ppcls.report.elements import Charts, Section, paragraph
from ppcls.report.run_data import RunData, photo_key
from ppcls.report.statistics import confusion
from ppcls.utils.html import details, percent, table

MAX_MATRIX = 40  # classes; of more there are the most confused pairs
MAX_DRAWN = 100  # classes of the matrix as a PNG file
_PAIRS = 50
_PER_CELL = 8  # pictures
_LETTERS = 14  # of a class name above a column
STYLE = """
.confusion td, .confusion th { padding: .2rem .4rem; text-align: center; min-width: 2.1rem;
  border: 1px solid var(--line) }
.confusion th:first-child { position: sticky; left: 0; background: var(--bg); text-align: right }
.confusion thead th { writing-mode: vertical-rl; text-align: left; max-height: 9rem }
.confusion thead th:first-child { writing-mode: horizontal-tb; vertical-align: bottom }
.confusion a { color: inherit; display: block; font-weight: 600 }
.confusion .right { background: rgb(var(--heat) / calc(var(--v) * .6)) }
.confusion .wrong { background: rgb(var(--wrong) / calc(var(--v) * .6)) }
.cell { display: none; background: var(--soft); border-radius: .4rem; padding: .6rem .8rem; margin: .6rem 0 }
.cell:target { display: block } .cell .row { display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .4rem }
.row { display: flex; flex-wrap: wrap; gap: .4rem }
"""

Cell = Tuple[int, int]


def confusion_matrix(data: RunData, charts: Charts) -> Optional[Section]:
    """Return the section; None without answers, and for multi-label data."""
    answers = data.answers
    if answers is None or answers.is_multilabel or not len(answers):
        return None
    section = Section("confusion", "Confusion matrix")
    lost = int((answers.predicted == data.class_num).sum())
    if data.class_num <= MAX_DRAWN:  # of more it would be large
        counts = confusion(answers, data.class_num)[:, : data.class_num]
        charts.drawn["confusion_matrix"] = Matrix("Confusion matrix", data.class_names, counts)
    if data.class_num <= MAX_MATRIX:
        section.body += _matrix(data, counts, cell_rows(data))
    else:
        section.body += _pairs(data, answers)
    if lost:
        section.body.append(paragraph(f"{lost:,} images have no prediction: the outputs are not finite.", "bad"))
    return section


def cell_rows(data: RunData) -> Dict[Cell, List[int]]:
    """Return the rows of the predictions whose pictures are shown, by label and wrong class; most images first."""
    answers = data.answers
    if answers is None or answers.is_multilabel:
        return {}
    wrong = np.flatnonzero((answers.predicted != answers.labels) & (answers.predicted < data.class_num))
    wrong = wrong[np.argsort(-answers.scores[wrong, 0], kind="stable")]
    cells: Dict[Cell, List[int]] = {}
    for row in wrong:
        cells.setdefault((int(answers.labels[row]), int(answers.predicted[row])), []).append(int(row))
    most = sorted(cells, key=lambda cell: -len(cells[cell]))
    if data.class_num > MAX_MATRIX:
        most = most[:_PAIRS]
    return {cell: cells[cell][:_PER_CELL] for cell in most}


def _matrix(data: RunData, counts: np.ndarray, cells: Dict[Cell, List[int]]) -> List[str]:
    names = data.class_names
    head = "".join(f"<th title='{escape(name, quote=True)}'>{escape(_short(name))}</th>" for name in names)
    rows = []
    for label, name in enumerate(names):
        line = [f"<th>{escape(_short(name))}</th>"]
        total = max(1, int(counts[label].sum()))
        for other, count in enumerate(counts[label]):
            line.append(_cell(label, other, int(count), count / total))
        rows.append(f"<tr>{''.join(line)}</tr>")
    matrix = (
        f"<div class='scroll'><table class='confusion'><thead><tr><th>label \\ predicted</th>{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
    opened = [
        f"<div class='cell' id='cell-{label}-{other}'><b>{escape(names[label])}</b> taken for "
        f"<b>{escape(names[other])}</b>: {counts[label, other]:,} of {counts[label].sum():,} images "
        f"<a href='#confusion'>close</a>{_pictures(data, rows, int(counts[label, other]))}</div>"
        for (label, other), rows in cells.items()
    ]
    hint = (
        "Rows are labels, columns what the model says. A number off the diagonal opens its pictures below the matrix."
    )
    return [paragraph(hint, "dim"), matrix, *opened]


def _cell(label: int, other: int, count: int, of_class: float) -> str:
    """Return a cell; its color grows with its share of the class, of mistakes faster."""
    if not count:
        return "<td></td>"
    if label == other:
        return f"<td class='right' style='--v:{of_class:.2f}'>{count:,}</td>"
    link = f"<a href='#cell-{label}-{other}'>{count:,}</a>"
    return f"<td class='wrong' style='--v:{max(0.35, of_class**0.5):.2f}'>{link}</td>"


def _pairs(data: RunData, answers: Predictions) -> List[str]:
    names = data.class_names
    labels, predicted = (values[answers.predicted < data.class_num] for values in (answers.labels, answers.predicted))
    wrong, support = int((labels != predicted).sum()), np.bincount(labels, minlength=data.class_num)
    rows = []
    for (label, other), shown in cell_rows(data).items():
        count = int(((labels == label) & (predicted == other)).sum())
        opened = details(f"{count:,}", _pictures(data, shown, count))
        rows.append((escape(names[label]), escape(names[other]), opened, percent(count / support[label])))
    text = f"{wrong:,} mistakes. The {len(rows)} pairs of {data.class_num:,} classes that are confused most:"
    header = ("label", "taken for", "images", "of the class")
    return [paragraph(text), table(header, rows, (1, 2))]


def _pictures(data: RunData, rows: List[int], count: int) -> str:
    shown = [row for row in rows if photo_key(row) in data.thumbnails]
    if not shown:
        return "<p class='dim small'>No pictures of these.</p>"
    parts = "".join(data.thumbnails.show(photo_key(row), data.photo_name(row)) for row in shown)
    more = f"<p class='dim small'>{len(shown)} of {count:,}</p>" if count > len(shown) else ""
    return f"<div class='row'>{parts}</div>{more}"


def _short(name: str) -> str:
    return name if len(name) <= _LETTERS else f"{name[: _LETTERS - 1]}…"
