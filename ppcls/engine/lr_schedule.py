"""The learning rate over a run: the recipe's schedule, fitted to the length of the run and to the batch."""

from __future__ import annotations

import logging
import math
from typing import Any, Dict, List, Optional, Tuple

from ppcls.config.schema import Config
from ppcls.engine import criteria
from ppcls.engine.class_count import for_display
from ppcls.engine.data import build_loader, global_batch_size
from ppcls.errors import ConfigError, DataError
from ppcls.optimizer import build_schedule
from ppcls.optimizer.schedule import PEAKS, Schedule, Step
from ppcls.utils.logging import get_logger, warn_once

_COMPARED = 200  # updates at which two schedules are compared
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)
Points = List[Tuple[int, float]]  # (updates done so far, rate of the next update)


def build_lr_schedule(config: Config, steps_per_epoch: int, quiet: bool = False) -> Schedule:
    """Build the recipe's learning-rate schedule, its rates scaled as ``Optimizer.lr_scaling`` says.

    A warm-up longer than the run ends with it and a cooldown that does not fit is left out, both with a warning, as
    users of short trials expect. Changes of the rate after the end are only warned of.

    Args:
        steps_per_epoch: updates an epoch.
        quiet: log nothing.

    Raises:
        ConfigError: the recipe lacks what is needed, or a value is out of its range.
    """
    if config.Global.epochs is None or config.Optimizer is None:
        raise ConfigError("Global.epochs and Optimizer.lr: a schedule needs both")
    epochs, log = config.Global.epochs, _SILENT if quiet else get_logger()
    arguments = {"name": config.Optimizer.lr.name, **_scaled_arguments(config, log)}
    if arguments["name"] == "ReduceOnPlateau" and arguments.get("monitor", "metric") == "metric":
        arguments["mode"] = arguments.get("mode") or _direction(config)
    warmup, cooldown = arguments.get("warmup_epoch", 0), arguments.get("cooldown_epoch", 0)
    if warmup >= epochs:
        warn_once(
            "Optimizer.lr.warmup_epoch is %g, and Global.epochs is %d: warming up for all of them, so the main "
            "schedule never begins",
            *(warmup, epochs),
            logger=log,
        )
        arguments["warmup_epoch"] = warmup = epochs
    if cooldown and warmup + cooldown >= epochs:
        warn_once(
            "Optimizer.lr.cooldown_epoch is %g, longer than what warm-up leaves of %d epochs; the cooldown is left out",
            *(cooldown, epochs),
            logger=log,
        )
        arguments["cooldown_epoch"] = 0
    schedule = build_schedule(arguments, epochs=epochs, steps_per_epoch=steps_per_epoch)
    if schedule.follows_evaluations and not config.Global.eval_during_train:
        raise ConfigError(
            f"Optimizer.lr.name: {config.Optimizer.lr.name} follows evaluations, which Global.eval_during_train: false "
            "turns off"
        )
    if warmup < epochs:
        _warn_of_late_changes(schedule, epochs, log)
    return schedule


def _warn_of_late_changes(schedule: Schedule, epochs: int, log: logging.Logger) -> None:
    """Say which changes of the learning rate come after the end of the run."""
    step_size = [schedule.step_size] if isinstance(schedule, Step) else []
    for key, changes in (
        ("milestones", getattr(schedule, "milestones", [])),
        ("decay_epochs", getattr(schedule, "boundaries", [])),
        ("step_size", step_size),
    ):
        late = [change / schedule.units_per_epoch for change in changes if change >= schedule.length]
        if late:
            warmup = schedule.start / schedule.units_per_epoch
            warn_once(
                "Optimizer.lr.%s: %s%s %s after the last epoch (Global.epochs: %d): no change of the rate there",
                *(key, ", ".join(f"{epoch:g}" for epoch in late), f" after {warmup:g} of warm-up" if warmup else ""),
                *("is" if len(late) == 1 else "are", epochs),
                logger=log,
            )


def log_changed_epochs(config: Config, before: Optional[int], schedule: Schedule, step: int) -> None:
    """Say how another ``Global.epochs`` changes the learning rates of a run that is resumed.

    Args:
        before: ``Global.epochs`` until now.
        schedule: of the run.
        step: updates done so far.
    """
    if before is None or before == config.Global.epochs or schedule.follows_evaluations:
        return
    steps_per_epoch = schedule.timing.steps_per_epoch
    earlier = build_lr_schedule(config.with_global(epochs=before), steps_per_epoch, quiet=True)
    last = min(_total_steps(earlier), _total_steps(schedule))
    changed = f"Global.epochs was {before} and is {config.Global.epochs}"
    place = _first_difference(earlier, schedule, step, last)
    if place is not None:
        get_logger().warning(
            "%s, which changes the learning rate: at update %d it would have been %g, and is %g",
            *(changed, place + 1, earlier.lr_at(place), schedule.lr_at(place)),
        )
    elif step < _total_steps(schedule) and _first_difference(earlier, schedule, 0, min(step, last)) is not None:
        # The run was at its end, and goes on in the middle of another schedule.
        get_logger().warning(
            "%s, which changes the learning rate: it was %g at update %d, the last one, and is %g at update %d",
            *(changed, earlier.lr_at(step - 1), step, schedule.lr_at(step), step + 1),
        )
    else:
        get_logger().info("%s, which does not change the learning rate of the updates before", changed)


def _first_difference(earlier: Schedule, schedule: Schedule, start: int, end: int) -> Optional[int]:
    """Return the first update in a range for which two schedules have different rates, None if there is none."""

    def differs(place: int) -> bool:
        return not math.isclose(earlier.lr_at(place), schedule.lr_at(place), rel_tol=1e-6)

    stride = max(1, (end - start) // _COMPARED)
    found = next((place for place in range(start, end, stride) if differs(place)), None)
    # The updates before it were passed over.
    return None if found is None else next(filter(differs, range(max(start, found - stride + 1), found + 1)))


def _direction(config: Config) -> str:
    """Return the mode of ReduceOnPlateau that fits the first metric of the evaluation."""
    metrics = criteria.build_metrics(config, "Eval")
    return "min" if any(name in metrics.lower_is_better for name in metrics.names[:1]) else "max"


def _scaled_arguments(config: Config, log: logging.Logger) -> Dict[str, Any]:
    """Return the schedule's arguments, its peak rates scaled to the global batch as ``lr_scaling`` says."""
    assert config.Optimizer is not None
    arguments, scaling = dict(config.Optimizer.lr.arguments), config.Optimizer.lr_scaling
    if scaling is None:
        return arguments
    batch = global_batch_size(config)
    ratio = batch / scaling.base_batch_size
    factor = {"linear": ratio, "sqrt": ratio**0.5, "none": 1.0}[scaling.rule]
    for key in PEAKS:
        if arguments.get(key) is None:
            continue
        before = arguments[key]
        arguments[key] = [rate * factor for rate in before] if isinstance(before, list) else before * factor
        log.info(
            "Optimizer.lr.%s: %s for a global batch of %d, scaled from %s for %d (%s)",
            *(key, _format_lr(arguments[key]), batch, _format_lr(before), scaling.base_batch_size, scaling.rule),
        )
    return arguments


def _format_lr(rates: Any) -> str:
    return f"[{', '.join(f'{rate:g}' for rate in rates)}]" if isinstance(rates, list) else f"{rates:g}"


def schedule_points(config: Config, steps_per_epoch: Optional[int] = None) -> Tuple[Schedule, Points]:
    """Return the schedule of a recipe's run (of one stage, where there are stages), and its curve.

    Args:
        steps_per_epoch: updates an epoch; None counts them in the recipe's training data.

    Returns:
        The schedule, and its rates at about two thousand updates at most: evenly spread ones, the first and last, the
        one after the warm-up, and the one with the highest rate.

    Raises:
        ConfigError: the recipe does not say how to train, or its data are not there to be counted.
    """
    config = for_display(config)
    if steps_per_epoch is None:
        try:
            with build_loader(config, "Train") as loader:
                steps_per_epoch = -(-len(loader) // config.Global.update_freq)
        except (ConfigError, DataError) as error:
            raise ConfigError(f"{error}\nwithout the data, give --steps-per-epoch") from None
    schedule = build_lr_schedule(config, steps_per_epoch)
    last = _total_steps(schedule) - 1
    count = min(last, 2000)
    spread = {round(last * index / max(count, 1)) for index in range(count + 1)}
    peak = max(range(0, last + 1, max(1, last // 100_000)), key=schedule.lr_at)
    return schedule, [(step, schedule.lr_at(step)) for step in sorted(spread | {first_after_warmup(schedule), peak})]


def _total_steps(schedule: Schedule) -> int:
    return schedule.timing.epochs * schedule.timing.steps_per_epoch


def first_after_warmup(schedule: Schedule) -> int:
    """Return the first update after the warm-up, the last one of all if there is none."""
    return min(
        -int(-schedule.warmup * schedule.timing.steps_per_epoch // schedule.units_per_epoch), _total_steps(schedule) - 1
    )


def summarize(schedule: Schedule, points: Points) -> Dict[str, Any]:
    """Return the rate at the places that people ask for, fit for JSON."""
    total, steps = _total_steps(schedule), schedule.timing.steps_per_epoch
    peak_step, peak = max(points, key=lambda point: point[1])
    warm = {"after_warmup": schedule.lr_at(first_after_warmup(schedule))} if schedule.warmup else {}
    note = {"note": "without the reductions, which follow evaluations"} if schedule.follows_evaluations else {}
    return {
        "epochs": schedule.timing.epochs,
        "steps_per_epoch": steps,
        "first": schedule.lr_at(0),
        **warm,
        "peak": peak,
        "peak_epoch": round(peak_step / steps, 3),
        **{f"{percent} %": schedule.lr_at(total * percent // 100) for percent in (25, 50, 75)},
        "last": schedule.lr_at(total - 1),
        **note,
    }
