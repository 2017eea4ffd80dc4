"""How many CPU threads a run computes with: as the user says, as when its checkpoint was saved, or as measured."""

from __future__ import annotations

import copy
import functools
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, List, Mapping, Optional, Tuple

import numpy as np
import paddle

from ppcls.arch import BACKBONES, ops
from ppcls.config.schema import AUTO, Config
from ppcls.data.loader import Batch, DataLoader
from ppcls.engine import freezing
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.criteria import build_loss
from ppcls.engine.state import TrainState
from ppcls.utils import distributed, environment
from ppcls.utils.logging import get_logger

_LONGEST_STEP = 0.2  # seconds, with one thread; longer steps gain from more threads, and cost too much to measure
_BACKWARD_FACTOR = 3  # a step takes about as long as this many forward passes
_GROWTH = 4  # of the batch with which the length of a step is estimated
_MARGIN = 0.9  # one thread must take at most this share of the time
_MEASURED_SECONDS = 0.05  # of steps that are timed in a row, at least one
_REPEATED_SECONDS = 0.4  # the longest comparison that is repeated
_OVERRIDE = f"override with Global.cpu_threads or {environment.THREADS}"


@dataclass(frozen=True)
class Threads:
    """The number of CPU threads of a run.

    Attributes:
        count: how many; None where it is not known, or does not matter, as on a GPU.
        reason: for the log; None where the number is that of the process.
    """

    count: Optional[int]
    reason: Optional[str] = None


def choose(config: Config, state: TrainState, loader: DataLoader, prefix: Optional[Path], ours: bool) -> Threads:
    """Set the number of CPU threads of a run, until ``ops.reset_threads``; a collective.

    Args:
        loader: of training.
        prefix: the checkpoint that is continued, None for a new run.
        ours: whether the model is the recipe's, and not given by Python code.
    """
    if config.Global.cpu_threads != AUTO:
        return Threads(_recorded_count(), "set by Global.cpu_threads")
    if not environment.threads_are_chosen_here() or not ops.can_set_threads():
        return Threads(_recorded_count())
    if prefix is not None:
        with distributed.errors_on_all_ranks():
            saved = checkpoint.read_states(prefix).get("cpu_threads")
        if saved is None or saved > environment.threads() or _recorded_count() is None:
            return Threads(_recorded_count())
        ops.set_threads(saved)
        return Threads(saved, f"as when the checkpoint was saved, {_OVERRIDE}")
    ours = ours and BACKBONES[config.Arch.name].source is None
    seconds = None
    # Code of others may count its calls, and to_static is slow to trace.
    if ours and config.Distillation is None and not config.Global.to_static and _recorded_count() is not None:
        with distributed.errors_on_all_ranks():
            seconds = _measure(config, state, loader)
    measured = distributed.all_gather(seconds)
    if None in measured:
        return Threads(_recorded_count())
    one, several = (sum(values) / len(measured) for values in zip(*measured))
    ops.set_threads(1 if one <= _MARGIN * several else environment.threads())
    times = f"{1000 * one:.1f} ms a step with one thread, {1000 * several:.1f} ms with {environment.threads()}"
    return Threads(_recorded_count(), f"measured: {times}; {_OVERRIDE}")


def warn_if_changed(saved: Mapping[str, Any], threads: Threads) -> None:
    """Warn where a run continues with another number of threads than it was saved with.

    Args:
        saved: the states of its checkpoint.
    """
    before = saved.get("cpu_threads")
    if before is not None and threads.count is not None and before != threads.count:
        get_logger().warning(
            "this run was saved with %d CPU threads and continues with %d: results may differ in the last digits",
            before,
            threads.count,
        )


def _recorded_count() -> Optional[int]:
    return ops.get_threads() if paddle.get_device() == "cpu" else None


def _measure(config: Config, state: TrainState, loader: DataLoader) -> Optional[Tuple[float, float]]:
    """Return the seconds of a training step with one thread and with all, None where there is no need to measure.

    The step is that of a copy of the model, and random generators are as before afterwards.
    """
    threads = environment.threads()
    if threads == 1:
        return None
    sizes = loader.plan.variants(loader.sampler.batch_size)
    batch, count = max(
        ((batch, images) for batch, (_, images) in zip(loader.trial_batches(), sizes)),
        key=lambda pair: pair[0].images.size * pair[1],
    )
    before, count_before = paddle.get_rng_state(), ops.get_threads() or threads
    try:
        if not _is_short(state, batch, count):
            return None
        return _compare(_training_step(config, state, loader, batch, count), threads)
    finally:
        ops.set_threads(count_before)
        paddle.set_rng_state(before)


def _is_short(state: TrainState, batch: Batch, count: int) -> bool:
    """Return whether a step is short with one thread, by passes of growing batches; the first long one ends it."""
    ops.set_threads(1)
    state.trained.eval()
    images, limit = 1, _LONGEST_STEP / _BACKWARD_FACTOR
    try:
        with paddle.no_grad(), state.amp.autocast():
            while True:
                forward = functools.partial(state.model, _repeated(batch.images, images))
                # The first pass builds what others find.
                if _seconds(forward) > limit and _seconds(forward) > limit:
                    return False
                if images == count:
                    return True
                images = min(count, images * _GROWTH)
    finally:
        state.trained.train()


def _training_step(
    config: Config, state: TrainState, loader: DataLoader, batch: Batch, count: int
) -> Callable[[], None]:
    """Return a forward and backward pass of a batch whose images are all the same."""
    model = copy.deepcopy(state.model)
    freezing.keep_frozen_in_eval(model, config.Global.freeze)
    criterion = build_loss(config, "Train", loader.dataset, loader.views)
    images = _repeated(batch.images, count)
    targets = _repeated(batch.labels if batch.targets is None else batch.targets, count)

    def step() -> None:
        with state.amp.autocast():
            losses = criterion.per_sample(model(images), targets).values()
            loss = paddle.stack([values.sum() for values, _ in losses]).sum()
        if not loss.stop_gradient:
            loss.backward()
        model.clear_gradients()

    return step


def _compare(step: Callable[[], None], threads: int) -> Tuple[float, float]:
    """Return the seconds of a step with one thread and with all."""
    best = {1: float("inf"), threads: float("inf")}
    started = time.perf_counter()
    for _ in range(2):
        for count in best:
            ops.set_threads(count)
            step()  # builds what the next ones find
            best[count] = min([best[count], *_timed(step)])
        if best[1] > _MARGIN * best[threads] or time.perf_counter() - started > _REPEATED_SECONDS:
            break  # all threads are what there is without a measurement: it need not be sure
    return best[1], best[threads]


def _timed(step: Callable[[], None]) -> List[float]:
    seconds: List[float] = []
    while sum(seconds) < _MEASURED_SECONDS:
        seconds.append(_seconds(step))
    return seconds


def _seconds(function: Callable[[], Any]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _repeated(values: np.ndarray, count: int) -> paddle.Tensor:
    """Return a batch of ``count`` times each entry."""
    return paddle.to_tensor(np.repeat(values, count, axis=0))
