"""Losses, accuracies, the learning rate, speed and memory over the epochs."""

from __future__ import annotations

from typing import Any, Dict, Iterable, List, Mapping, Sequence, Tuple

from ppcls.report.charts import LineChart, Mark, Series
from ppcls.report.elements import Charts, Section, paragraph
from ppcls.report.records import Records
from ppcls.report.run_data import RunData

Points = List[Tuple[float, float]]
_KINDS = {"eval": ("evaluation", 1), "eval_ema": ("evaluation, averaged weights", 2)}


def curves(data: RunData, charts: Charts) -> Section:
    """Return the section."""
    section = Section("curves", "Curves")
    marks = stage_marks(data.stages)
    offset = _offsets(data.stages)[-1]
    if data.best.epoch:
        marks.append(Mark(offset + data.best.epoch, f"best: epoch {data.best.epoch}"))
    metric = data.best.metric
    shown = [
        ("loss", _values(data.stages, "loss", "Loss", "loss", marks)),
        ("metric", _values(data.stages, metric, metric, metric, marks)),
        ("learning_rate", LineChart("Learning rate", "epoch", "", [Series("", _rates(data.stages))], marks)),
        ("speed", _speed(data.stages, "images_per_second", "Images per second in training", 1.0, marks)),
        ("memory", _speed(data.stages, "memory_bytes", "Memory of the process, GB", 1e-9, marks)),
    ]
    drawn = charts.show(item for item in shown if not item[1].is_empty)
    section.body.append(drawn or paragraph("Nothing is recorded yet."))
    return section


def stage_marks(stages: Sequence[Records]) -> List[Mark]:
    """Return a mark where each stage but the first begins."""
    pairs = list(zip(_offsets(stages), stages))
    return [Mark(offset, f"stage {records.name}") for offset, records in pairs[1:]]


def _offsets(stages: Sequence[Records]) -> List[float]:
    """Return how many epochs there were before each stage."""
    offsets = [0.0]
    for records in stages[:-1]:
        offsets.append(offsets[-1] + records.epochs)
    return offsets


def _values(stages: Sequence[Records], key: str, title: str, y_label: str, marks: Sequence[Mark]) -> LineChart:
    series = [Series("training", training_points(stages, key), color=0)]
    for kind, (name, color) in _KINDS.items():
        series.append(Series(name, evaluation_points(stages, kind, key), "line+points", color))
    return LineChart(title, "epoch", "", [one for one in series if one.points], marks)


def training_points(stages: Sequence[Records], key: str) -> Points:
    """Return a value of the training over the epochs: the average of each, or of one epoch that of its log lines."""
    points: Points = []
    for offset, records in zip(_offsets(stages), stages):
        several = records.epochs > 1
        last: Dict[float, float] = {}
        for record in records.train:
            if record.get(key) is None:
                continue
            place = float(record["epoch"]) if several else record["step"] / records.steps_per_epoch
            last[place] = float(record[key])
        points += [(offset + place, value) for place, value in last.items()]
    return points


def evaluation_points(stages: Sequence[Records], kind: str, key: str) -> Points:
    """Return a value of the evaluations of one kind over the epochs."""
    return [
        (offset + record["epoch"], float(record[key]))
        for offset, records in zip(_offsets(stages), stages)
        for record in records.evaluations.get(kind, [])
        if record.get(key) is not None
    ]


def _rates(stages: Sequence[Records]) -> Points:
    """Return the learning rate over the epochs, at each log line."""
    return [
        (offset + record["step"] / records.steps_per_epoch, float(record["lr"]))
        for offset, records in zip(_offsets(stages), stages)
        for record in records.train
        if record.get("lr") is not None
    ]


def _speed(stages: Sequence[Records], key: str, title: str, unit: float, marks: Sequence[Mark]) -> LineChart:
    points = [
        (offset + record["epoch"], unit * record[key])
        for offset, records in zip(_offsets(stages), stages)
        for record in _numbers(records.speed, key)
    ]
    high = max((y for _, y in points), default=1.0)
    return LineChart(title, "epoch", "", [Series("", points, "line+points")], marks, (0.0, 1.1 * high or 1.0))


def _numbers(records: Iterable[Mapping[str, Any]], key: str) -> List[Mapping[str, Any]]:
    return [record for record in records if isinstance(record.get(key), (int, float)) and "epoch" in record]
