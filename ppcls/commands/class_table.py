"""What an evaluation found of each class, as a table for the terminal."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional, Sequence

_MAX_ROWS = 30  # classes
_MAX_NAME = 28  # letters
_HEADER = ("class", "images", "recall", "precision", "F1", "mostly taken for")


def class_table(details: Mapping[str, Any]) -> str:
    """Return a table of an evaluation's classes, the weakest first; "" if they were not measured.

    Args:
        details: of the evaluation, with those of Recall, Precision, F1 and, if it was measured, ConfusionMatrix.
    """
    rows = _rows(details)
    if not rows:
        return ""
    shown = [[str(cell) for cell in row] for row in rows[:_MAX_ROWS]]
    header = _HEADER if any(row[-1] for row in shown) else _HEADER[:-1]
    table = [list(header), *(row[: len(header)] for row in shown)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [_line(row, widths) for row in table]
    more = [f"and {len(rows) - _MAX_ROWS:,} classes with a higher F1"] if len(rows) > _MAX_ROWS else []
    return "\n".join([*lines, *more])


def weakest(details: Mapping[str, Any]) -> Optional[str]:
    """Return the class of which the smallest share is found, and this share; None if that was not measured."""
    records = [record for record in _of_metric(details, "Recall") if record["support"]]
    if not records:
        return None
    worst = min(records, key=lambda record: record["recall"])
    return f"{_name(worst)} {_percent(worst['recall'])}"


def count_images(details: Mapping[str, Any]) -> int:
    """Return the number of images, of multi-label data that of labels; 0 if they were not counted."""
    return sum(record["support"] for record in _of_metric(details, "Recall"))


def _rows(details: Mapping[str, Any]) -> List[List[Any]]:
    recalls, precisions, f1s = (_of_metric(details, name) for name in ("Recall", "Precision", "F1"))
    confused = _confused(details)
    measured = [rows for rows in zip(recalls, precisions, f1s) if rows[2]["f1"] is not None]
    measured.sort(key=lambda rows: (rows[2]["f1"], rows[0]["class_id"]))
    return [
        [
            _name(recall),
            f"{recall['support']:,}",
            _percent(recall["recall"]) if recall["support"] else "-",
            _percent(precision["precision"]),
            f"{f1['f1']:.3f}",
            confused.get(recall["class_id"], ""),
        ]
        for recall, precision, f1 in measured
    ]


def _of_metric(details: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    records: Sequence[Mapping[str, Any]] = details.get(name, {}).get("per_class", ())
    return records


def _confused(details: Mapping[str, Any]) -> Dict[int, str]:
    """Return the class that the images of a class are mostly taken for, and how many are, by class id."""
    found = details.get("ConfusionMatrix")
    if not found:
        return {}
    texts = {}
    for label, row in enumerate(found["matrix"]):
        others = [(count, -index) for index, count in enumerate(row) if index != label and count]
        if others:
            count, index = max(others)
            texts[label] = f"{str(found['classes'][-index])[:_MAX_NAME]} ({count})"
    return texts


def _name(record: Mapping[str, Any]) -> str:
    name = str(record.get("class_name", record["class_id"]))
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 3]}..."


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    """Return a row of the table: numbers to the right, names to the left."""
    cells = [
        cell.ljust(width) if column in (0, 5) else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths))
    ]
    return "  ".join(cells).rstrip()
