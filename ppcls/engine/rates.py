"""The learning rate over a run: the recipe's schedule, fitted to the length of the run and to the batch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Dict, List, Tuple

from ppcls.config.schema import Config
from ppcls.engine import build
from ppcls.errors import ConfigError
from ppcls.optimizer import build_schedule
from ppcls.optimizer.schedule import PEAKS, Schedule
from ppcls.utils.logging import get_logger

_DRAWN = 2000  # points that a curve needs at most


def schedule_of(config: Config, steps_per_epoch: int) -> Schedule:
    """Build the recipe's learning-rate schedule, its rates scaled as ``Optimizer.lr_scaling`` says.

    A warm-up longer than the run ends with it and a cooldown that does not fit is left out, both with a warning, as
    users of short trials expect.

    Args:
        steps_per_epoch: updates an epoch.

    Raises:
        ConfigError: the recipe lacks what is needed, or a value is out of its range.
    """
    if config.Global.epochs is None or config.Optimizer is None:
        raise ConfigError(f"{'Optimizer' if config.Optimizer is None else 'Global.epochs'}: missing; training needs it")
    epochs = config.Global.epochs
    arguments = {"name": config.Optimizer.lr.name, **_scaled(config)}
    warmup, cooldown = arguments.get("warmup_epoch", 0), arguments.get("cooldown_epoch", 0)
    if warmup > epochs:
        get_logger().warning(
            "Optimizer.lr.warmup_epoch is %g, but Global.epochs is %d: warming up for all of them", warmup, epochs
        )
        arguments["warmup_epoch"] = warmup = epochs
    if cooldown and warmup + cooldown >= epochs:
        get_logger().warning(
            "Optimizer.lr.cooldown_epoch is %g, which leaves nothing of the %d of Global.epochs: no cooldown",
            *(cooldown, epochs),
        )
        arguments["cooldown_epoch"] = 0
    schedule = build_schedule(arguments, epochs=epochs, steps_per_epoch=steps_per_epoch)
    if schedule.follows_evaluations and not config.Global.eval_during_train:
        raise ConfigError(
            f"Optimizer.lr.name: {config.Optimizer.lr.name} follows evaluations, which Global.eval_during_train: false "
            "turns off"
        )
    return schedule


def _scaled(config: Config) -> Dict[str, Any]:
    """Return the schedule's arguments, its peak rates scaled to the global batch as ``lr_scaling`` says."""
    assert config.Optimizer is not None
    arguments, scaling = dict(config.Optimizer.lr.arguments), config.Optimizer.lr_scaling
    if scaling is None:
        return arguments
    batch = build.global_batch(config)
    ratio = batch / scaling.base_batch_size
    factor = {"linear": ratio, "sqrt": ratio**0.5, "none": 1.0}[scaling.rule]
    for key in PEAKS:
        if arguments.get(key) is None:
            continue
        before = arguments[key]
        arguments[key] = [rate * factor for rate in before] if isinstance(before, list) else before * factor
        get_logger().info(
            "Optimizer.lr.%s: %s for a global batch of %d, scaled from %s for %d (%s)",
            *(key, _text(arguments[key]), batch, _text(before), scaling.base_batch_size, scaling.rule),
        )
    return arguments


def _text(rates: Any) -> str:
    return f"[{', '.join(f'{rate:g}' for rate in rates)}]" if isinstance(rates, list) else f"{rates:g}"


def steps_per_epoch(config: Config) -> int:
    """Return how many updates an epoch of the recipe's training data makes.

    Raises:
        ConfigError, DataError: the data cannot be read.
    """
    with build.loader(config, "Train") as loader:
        return -(-len(loader) // config.Global.update_freq)


@dataclass(frozen=True)
class Curve:
    """The learning rate over a run.

    Attributes:
        steps_per_epoch: updates an epoch.
        points: (updates done so far, rate of the next update), at most about two thousand, the first update's and the
            last one's among them.
        marks: the places that are told apart, {"at": what, "epoch": ..., "step": ..., "lr": ...}.
        follows_evaluations: the rate depends on evaluations; this is what it is when each is the best so far.
    """

    steps_per_epoch: int
    points: List[Tuple[int, float]]
    marks: List[Dict[str, Any]]
    follows_evaluations: bool


def schedule_points(config: Config, steps_per_epoch: int) -> Curve:
    """Return the learning rate over the run of a recipe (of one stage, for a recipe with stages).

    Raises:
        ConfigError: the recipe lacks what is needed, or a value is out of its range.
    """
    if steps_per_epoch < 1:
        raise ConfigError(f"--steps-per-epoch: expected at least 1 update, got {steps_per_epoch}")
    schedule = schedule_of(config, steps_per_epoch)
    last = schedule.timing.epochs * steps_per_epoch - 1
    warm = min(-(-schedule.warmup * steps_per_epoch // schedule.unit), last)
    inner = {round(last * index / _DRAWN) for index in range(_DRAWN + 1)} if last > _DRAWN else set(range(last + 1))
    points = [(step, schedule.lr_at(step)) for step in sorted(inner | {int(warm)})]
    places = [("start", 0), ("end of the warm-up", int(warm))] if schedule.warmup else [("start", 0)]
    peak = max(points, key=lambda point: point[1])[0]
    if peak not in (step for _, step in places):
        places.append(("peak", peak))
    places += [(f"{share} of the run", int((last + 1) * Fraction(share))) for share in ("1/4", "1/2", "3/4")]
    marks = [
        {
            "at": name,
            "epoch": round(step / steps_per_epoch, 4),
            "step": step,
            "lr": float(f"{schedule.lr_at(step):.6g}"),
        }
        for name, step in [*places, ("last update", last)]
    ]
    return Curve(steps_per_epoch, points, marks, schedule.follows_evaluations)
