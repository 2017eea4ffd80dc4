"""The learning rate of a recipe over its run, computed and drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

from ppcls.config.schema import Config
from ppcls.engine import build, run
from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.optimizer.schedule_base import Schedule

Points = List[Tuple[float, float]]  # (epoch, rate)


def schedule_of(config: Config, steps_per_epoch: Optional[int] = None) -> Schedule:
    """Return a recipe's schedule.

    Args:
        steps_per_epoch: updates an epoch; None counts them in the recipe's training data.

    Raises:
        ConfigError: the recipe does not say how to train, or its data are not there to be counted.
    """
    if config.Global.epochs is None or config.Optimizer is None:
        raise ConfigError("Global.epochs and Optimizer.lr: a schedule needs both")
    if steps_per_epoch is None:
        try:
            with build.loader(config, "Train") as loader:
                steps_per_epoch = -(-len(loader) // config.Global.update_freq)
        except (ConfigError, DataError) as error:
            raise ConfigError(f"{error}\nwithout the data, give --steps-per-epoch") from None
    return run.schedule(config, updates=steps_per_epoch)


def points(schedule: Schedule, most: int = 2000) -> Points:
    """Return (epoch, rate) of the whole run, at ``most`` updates evenly spread, first and last included."""
    total = schedule.epochs * schedule.steps_per_epoch
    count = min(most, total)
    steps = sorted({round(index * (total - 1) / max(count - 1, 1)) for index in range(count)})
    return [(step / schedule.steps_per_epoch, schedule.lr_at(step)) for step in steps]


def table(schedule: Schedule) -> Dict[str, Any]:
    """Return the rate at the places that people ask for, fit for JSON."""
    total = schedule.epochs * schedule.steps_per_epoch
    every = [schedule.lr_at(step) for step in range(0, total, max(1, total // 100_000))]
    peak = max(every)
    return {
        "epochs": schedule.epochs,
        "steps_per_epoch": schedule.steps_per_epoch,
        "first": schedule.lr_at(0),
        "peak": peak,
        "peak_epoch": round(every.index(peak) * max(1, total // 100_000) / schedule.steps_per_epoch, 3),
        **{f"{percent} %": schedule.lr_at(total * percent // 100) for percent in (25, 50, 75)},
        "last": schedule.lr_at(total - 1),
    }


def draw(curves: Sequence[Tuple[str, Points]], target: Path, title: str) -> None:
    """Draw curves of (epoch, rate), one after the other, into a picture file.

    Raises:
        MachineError: matplotlib is missing, or the file cannot be written.
    """
    try:
        import matplotlib
    except ImportError:
        raise MachineError('drawing needs matplotlib: pip install "ppcls[report]"') from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), constrained_layout=True)
    start = 0.0
    for name, curve in curves:
        axes.plot([start + epoch for epoch, _ in curve], [rate for _, rate in curve], label=name)
        start += curve[-1][0]
    axes.set(xlabel="epoch", ylabel="learning rate", title=title)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if len(curves) > 1:
        axes.legend()
    try:
        figure.savefig(target, dpi=120)
    except (OSError, ValueError) as error:
        raise MachineError(f"--out={target}: cannot be written: {error}") from None
    finally:
        pyplot.close(figure)
