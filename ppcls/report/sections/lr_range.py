"""How the learning rate was found, where a range test chose it."""

from __future__ import annotations

import json
from typing import Any, Dict, Optional

from ppcls.report.charts import LineChart, Mark, Series
from ppcls.report.elements import Charts, Section, paragraph
from ppcls.report.run_data import RunData

FILE = "lr_range.json"
_TALLEST = 1.3  # of the first loss: what explodes above it says no more


def lr_range(data: RunData, charts: Charts) -> Optional[Section]:
    """Return the section; None for a run without a range test."""
    path = data.folder / FILE
    if not path.is_file():
        return None
    section = Section("lr-range", "Learning-rate range test")
    try:
        found: Dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rates = [float(rate) for rate in found["rates"]]
        lines = {name: [float(value) for value in found[name]] for name in ("losses", "smoothed")}
        suggestion = float(found["suggestion"])
        chosen = float(found.get("chosen", suggestion))
        if not rates or any(len(values) != len(rates) for values in lines.values()):
            raise ValueError("rates and losses of different numbers")
    except (OSError, ValueError, KeyError, TypeError) as error:
        section.body.append(paragraph(f"{FILE} is damaged: {type(error).__name__}: {error}", "bad"))
        return section
    lowest = rates[lines["smoothed"].index(min(lines["smoothed"]))]
    text = (
        f"{len(rates)} updates with a growing rate, before training: the smoothed loss is lowest at {lowest:.2g}; a "
        f"quarter of that is suggested, {suggestion:.2g}."
    )
    if f"{chosen:.1e}" != f"{suggestion:.1e}":
        text += f" The recipe has {chosen:.2g}, within what suits such models."
    section.body.append(paragraph(text))
    names = {"losses": "loss", "smoothed": "smoothed"}
    series = [
        Series(names[name], list(zip(rates, values)), color=color) for color, (name, values) in enumerate(lines.items())
    ]
    marks = [Mark(chosen, f"{chosen:.2g}")] if chosen > 0 else []
    low, high = min(lines["smoothed"]), max(lines["smoothed"])
    top = min(high, _TALLEST * lines["smoothed"][0])
    limits = (low - 0.1 * (top - low), top) if top > low else None
    chart = LineChart("Loss by learning rate", "learning rate", "", series, marks, limits, log_x=True)
    section.body.append(charts.show([("lr_range", chart)]))
    return section
