"""Tables of numbers as text, and their means and deviations."""

from __future__ import annotations

import statistics
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

Row = Sequence[Any]


def format_table(header: Sequence[str], rows: Sequence[Row]) -> str:
    """Return a table for a terminal: numbers to the right, everything else to the left."""
    lines = [list(header), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    numeric = [all(_is_number(row[column]) for row in rows) and bool(rows) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width) for text, width, right in zip(line, widths, numeric)
        ).rstrip()
        for line in lines
    )


def cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    return f"{value:.5f}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Return "41 s", "12 min" or "3.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def mean_and_deviation(values: Sequence[float]) -> Tuple[float, Optional[float]]:
    """Return the mean, and the sample standard deviation (of n - 1); None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def summarize(records: Sequence[Mapping[str, Any]]) -> Dict[str, Dict[str, Optional[float]]]:
    """Return {"mean", "deviation"} of each value that all records have as a number."""
    names: List[str] = [name for name in records[0] if all(isinstance(record.get(name), float) for record in records)]
    summary = {}
    for name in names:
        mean, deviation = mean_and_deviation([float(record[name]) for record in records])
        summary[name] = {"mean": mean, "deviation": deviation}
    return summary


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
