"""The learning rate of a draft by a range test, which also tells how long training takes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, Sequence

from ppcls.engine import load_config
from ppcls.engine.lr_range_test import FILE, bounded, run_range_test
from ppcls.engine.speed import SpeedOptions, measure
from ppcls.starter.recipe import Draft
from ppcls.starter.split import Parts
from ppcls.utils import atomic, json_text
from ppcls.utils.logging import get_logger

_SECONDS = 30.0  # of the range test's updates
_BATCH = 8  # images of a step that is timed without a range test
_MEASURED_SECONDS = 0.5
_BACKWARD_FACTOR = 3  # a training step takes about as long as this many forward passes


def tuned(made: Draft, run: Path, limits: Sequence[float], parts: Parts) -> Draft:
    """Return the draft with the learning rate that a range test suggests; keep its curve in the run's folder.

    Args:
        limits: the lowest and the highest rate that suit models of this kind.
        parts: the images, whose number tells how long training takes.

    Raises:
        MachineError: the curve cannot be written.
    """
    config = load_config(made.values)
    result = run_range_test(config, seconds=_SECONDS)
    rate, note = bounded(result.suggestion, *limits)
    atomic.write_text(run / FILE, json_text.dumps({**result.to_json(), "chosen": rate}) + "\n")
    get_logger().info("learning rate: %g (%s)", rate, note or f"range test of {len(result.rates)} updates, {FILE}")
    _say(_seconds_of_training(config.Global.epochs or 0, parts, result.images_per_second))
    values: Dict[str, Any] = {**made.values}
    optimizer = values["Optimizer"]
    values["Optimizer"] = {**optimizer, "lr": {**optimizer["lr"], "learning_rate": rate}}
    comments = dict(made.comments)
    comments["Optimizer", "lr", "learning_rate"] = note or "what a range test suggests: lr_range.json"
    return Draft(values, comments)


def say_duration(made: Draft, parts: Parts) -> None:
    """Log how long training takes where there is no range test: by a few steps with random images."""
    config = load_config(made.values)
    stages = list(config.stages.values()) or [config]
    height, width = stages[-1].Global.image_shape[1:]
    arguments = {key: value for key, value in config.Arch.arguments.items() if key != "image_size"}
    options = SpeedOptions(config.Arch.name, _BATCH, (height, width), device=config.Global.device, arguments=arguments)
    speed = measure(options, "train", _MEASURED_SECONDS, None).images_per_second
    seconds = 0.0
    for stage in stages:
        factor = _BACKWARD_FACTOR if stage.Global.freeze else 1  # the frozen part has no backward pass
        seconds += _seconds_of_training(stage.Global.epochs or 0, parts, speed * factor)
    _say(seconds)


def _say(seconds: float) -> None:
    get_logger().info("training takes about %s", duration(seconds))


def _seconds_of_training(epochs: int, parts: Parts, images_per_second: float) -> float:
    """Return how long training takes; an evaluation has no backward pass."""
    images = parts.num_train + parts.num_val / _BACKWARD_FACTOR
    return epochs * images / max(images_per_second, 1e-9)


def duration(seconds: float) -> str:
    """Return a duration for people: "40 seconds", "12 minutes", "2:40 hours"."""
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{str(timedelta(minutes=round(seconds / 60)))[:-3]} hours"
