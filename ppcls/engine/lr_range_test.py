"""Which learning rate suits a recipe: a short training with a rate that grows exponentially.

The method is that of Smith, Cyclical Learning Rates for Training Neural Networks, https://arxiv.org/abs/1506.01186,
section 3.3.
"""

from __future__ import annotations

import logging
import math
import tempfile
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import paddle
from tqdm import tqdm

from ppcls.config.schema import Config
from ppcls.engine.components import load_config
from ppcls.engine.loop import train_step
from ppcls.engine.prefetch import Prefetcher
from ppcls.engine.run import Run
from ppcls.engine.setup import open_run
from ppcls.engine.signals import SignalHandler
from ppcls.errors import ConfigError, TrainingError
from ppcls.utils.logging import NOT_ON_TERMINAL, get_logger

FILE = "lr_range.json"  # in the folder of a run that a range test chose the rate of
_STEPS = 100  # updates
_FEWEST_STEPS = 40
_TIMED_STEPS = 3  # updates at the lowest rate, whose time tells how many fit
_SMOOTHING = 0.9  # of the mean of the losses so far
_BELOW_LOWEST = 4  # the suggestion is the rate of the lowest loss divided by this
_DIVERGED = 4.0  # times the lowest loss: the test ends there
# What has no part in a range test. Averaged weights, data workers' batches and losses are those of the recipe.
_CHANGES = {
    "Global.eval_during_train": False,
    "Global.checkpoints": None,
    "Global.use_visualdl": False,
    "Global.save_every_minutes": None,
    "Global.early_stopping": None,
    "Global.output_layout": "flat",
    "Global.print_batch_step": 10**9,
    "EMA": None,
    "Callbacks": None,
}


@dataclass(frozen=True)
class RangeTest:
    """The result of a range test.

    Attributes:
        suggestion: the learning rate that suits: the peak of a schedule.
        rates: the learning rate of each update, growing.
        losses: the training loss of each update.
        smoothed: the mean of the losses so far, of which the newest weigh most.
        images_per_second: of training, with the time of waiting for images.
        seconds: how long the test took.
    """

    suggestion: float
    rates: List[float]
    losses: List[float]
    smoothed: List[float]
    images_per_second: float
    seconds: float

    def to_json(self) -> Dict[str, Any]:
        """Return the result as a dict."""
        return asdict(self)


@dataclass(frozen=True)
class _Exponential:
    """A schedule that grows from ``first`` to ``last`` over ``steps`` updates, after ``before`` at the first rate."""

    first: float
    last: float
    before: int
    steps: int

    def lr_at(self, step: int) -> float:
        """Return the rate of update ``step``, counted from 0."""
        share = max(0, step - self.before) / max(1, self.steps - 1)
        return float(self.first * (self.last / self.first) ** share)


def run_range_test(config: Config, first: float = 1e-5, last: float = 1.0, seconds: float = 40.0) -> RangeTest:
    """Train a copy of the recipe's model with growing rates; nothing of it is kept.

    It takes 100 updates, or as many as fit into the time, but at least 40; it ends earlier when the loss explodes.

    Args:
        config: a recipe without stages, or that of one stage.
        first: the lowest rate.
        last: the highest rate.
        seconds: how long the updates may take together.

    Raises:
        ConfigError: the rates or the time make no sense.
        ConfigError, DataError, WeightsError, MachineError: something is wrong with what the recipe names.
        TrainingError: the loss is not finite from the beginning on.
    """
    if not 0 < first < last:
        raise ConfigError(f"the rates of a range test must be positive and grow, not from {first:g} to {last:g}")
    if not seconds > 0:
        raise ConfigError(f"the time of a range test must be positive, not {seconds:g} seconds")
    started = time.perf_counter()
    # A terminal has a bar.
    beginning = "range test of the learning rate: up to %d updates, from a rate of %g to %g, for about %.0f seconds"
    get_logger().info(beginning, _STEPS, first, last, seconds, extra=NOT_ON_TERMINAL)
    with tempfile.TemporaryDirectory(prefix="ppcls-range-test-") as folder, _quiet(), paddle.utils.unique_name.guard():
        changed = load_config(config, {**_CHANGES, "Global.output_dir": folder})
        # A handler that handles nothing: Ctrl-C ends the test at once, there is nothing to save.
        with open_run(changed, SignalHandler()) as run:
            rates, losses, speed = _measure(run, first, last, seconds)
    if not losses:
        raise TrainingError(f"the loss is not finite at the learning rate {first:g} already: look at data and model")
    means = smooth(losses)
    result = RangeTest(suggest(rates, means), rates, losses, means, speed, time.perf_counter() - started)
    ending = "range test of the learning rate: done after %d updates and %.0f seconds; it suggests %.1e"
    get_logger().info(ending, len(rates), result.seconds, result.suggestion, extra=NOT_ON_TERMINAL)
    return result


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing but warnings: the test is no run of the user's."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)


def _measure(run: Run, first: float, last: float, seconds: float) -> Tuple[List[float], List[float], float]:
    """Return the rate and the loss of each update, and the images per second."""
    rates: List[float] = []
    losses: List[float] = []
    updates = _updates(run)
    run.state.schedule = _Exponential(first, last, _TIMED_STEPS + 1, _STEPS)  # type: ignore[assignment]
    next(updates)  # builds what the others find
    started, images = time.perf_counter(), 0
    for _ in range(_TIMED_STEPS):
        images += next(updates)[1]
    each = (time.perf_counter() - started) / _TIMED_STEPS
    steps = max(_FEWEST_STEPS, min(_STEPS, int(seconds / max(each, 1e-9)) - _TIMED_STEPS))
    run.state.schedule = _Exponential(first, last, run.state.step, steps)  # type: ignore[assignment]
    for _ in tqdm(range(steps), desc="range test of the learning rate", unit="step", leave=False, disable=None):
        rate = run.state.schedule.lr_at(run.state.step)
        loss, count = next(updates)
        images += count
        if not math.isfinite(loss) or (losses and smooth([*losses, loss])[-1] > _DIVERGED * min(smooth(losses))):
            break
        rates.append(rate)
        losses.append(loss)
    return rates, losses, images / max(time.perf_counter() - started, 1e-9)


def _updates(run: Run) -> Iterator[Tuple[float, int]]:
    """Make updates for ever; yield the loss and the number of images of each."""
    state = run.state
    state.trained.train()
    while True:
        state.batch = 0
        run.averages.reset({})
        images = 0
        run.batches = Prefetcher(run.train_loader.epoch(state.epoch), lambda: run.asked)
        for batch in run.batches:
            images += len(batch.labels)
            train_step(run, batch)
            if run.is_update_step:
                loss = run.averages.values()["loss"]
                run.averages.reset({})
                yield loss, images
                images = 0
        state.epoch += 1


def smooth(losses: Sequence[float]) -> List[float]:
    """Return the exponential moving averages of losses, corrected for their beginning."""
    mean, means = 0.0, []
    for number, loss in enumerate(losses, 1):
        mean = _SMOOTHING * mean + (1 - _SMOOTHING) * loss
        means.append(mean / (1 - _SMOOTHING**number))
    return means


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return a quarter of the rate at which smoothed losses are lowest: from there on they diverge."""
    lowest = min(range(len(losses)), key=lambda index: losses[index])
    return float(rates[lowest] / _BELOW_LOWEST)


def bounded(suggestion: float, lowest: float, highest: float) -> Tuple[float, Optional[str]]:
    """Return a suggestion within limits, rounded to two digits, and what was done about it if it was outside."""
    rate = float(f"{min(max(suggestion, lowest), highest):.1e}")
    if lowest <= suggestion <= highest:
        return rate, None
    return rate, f"the range test suggests {suggestion:.1e}, outside of {lowest:g} to {highest:g}"
