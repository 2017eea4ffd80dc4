"""The trained weights beside their average (EMA), at the best epoch."""

from __future__ import annotations

from typing import Any, Dict, Optional

from ppcls.report.elements import Section, metric_value, paragraph
from ppcls.report.run_data import RunData
from ppcls.report.statistics import exact_matches
from ppcls.utils.html import table

_POSITION = ("kind", "step", "epoch", "details")


def averaged_weights(data: RunData) -> Optional[Section]:
    """Return the section; None for a run without averaged weights."""
    evaluations = data.records.evaluations
    raw, averaged = (_at(evaluations.get(kind, []), data.best.epoch) for kind in ("eval", "eval_ema"))
    if raw is None or averaged is None:
        return None
    section = Section("averaged", "Raw and averaged weights")
    section.body.append(paragraph(f"At epoch {data.best.epoch}; best_model has the averaged weights (EMA)."))
    names = [name for name in averaged if name not in _POSITION]
    rows = [(name, metric_value(name, raw.get(name)), metric_value(name, averaged[name])) for name in names]
    section.body.append(table(("", "raw", "averaged"), rows))
    if {"eval", "eval_ema"} <= set(data.predictions):
        first, second = (exact_matches(data.predictions[kind]) for kind in ("eval", "eval_ema"))
        if len(first) == len(second):
            counts = (first & second, first & ~second, ~first & second, ~first & ~second)
            both, only_raw, only_averaged, neither = (f"{int(mask.sum()):,}" for mask in counts)
            section.body.append(
                paragraph(
                    f"Images that both answer correctly: {both}; only the raw weights: {only_raw}; only the averaged "
                    f"ones: {only_averaged}; neither: {neither}."
                )
            )
    return section


def _at(records: Any, epoch: int) -> Optional[Dict[str, Any]]:
    return next((record for record in reversed(records) if record["epoch"] == epoch), None)
