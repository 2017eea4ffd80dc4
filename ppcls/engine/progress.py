"""What people watch while something runs: progress bars, numbers in log lines, and throughput."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Iterable, Iterator, Mapping, TypeVar

from tqdm import tqdm

from ppcls.utils import distributed

T = TypeVar("T")


def progress_bar(batches: Iterable[T], title: str, total: int, done: int = 0) -> Iterator[T]:
    """Iterate with a progress bar (rate and remaining time); silent where standard error is no terminal."""
    quiet = None if distributed.is_main() else True  # None: where standard error is no terminal
    with tqdm(
        batches,
        desc=title,
        total=total,
        initial=done,
        unit="batch",
        leave=False,
        disable=quiet,
        dynamic_ncols=True,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{remaining}, {rate_fmt}]",
    ) as bar:
        yield from bar


def format_values(values: Mapping[str, float]) -> str:
    """Return "CELoss: 0.12345, loss: 0.12345, top1: 0.98000"."""
    return ", ".join(f"{name}: {value:.5f}" for name, value in values.items())


class Throughput:
    """The cost of a batch, and of waiting for its data, averaged since the last restart.

    Attributes:
        data_seconds: how long the loop waited for the newest batch.
    """

    def __init__(self) -> None:
        self.data_seconds = 0.0
        self.begin_epoch()

    def begin_epoch(self) -> None:
        """Begin an epoch, or the rest of one."""
        self._epoch_images = 0
        self._epoch_started = time.perf_counter()
        self.restart()

    def epoch_rate(self) -> float:
        """Return images per second since ``begin_epoch``."""
        return self._epoch_images / max(time.perf_counter() - self._epoch_started, 1e-9)

    def restart(self) -> None:
        """Forget what was measured since the last log line."""
        self._batches = self._images = 0
        self._waited = 0.0
        self._started = time.perf_counter()

    def timed(self, batches: Iterable[T]) -> Iterator[T]:
        """Yield the batches, and measure how long each takes to arrive."""
        iterator = iter(batches)
        while True:
            started = time.perf_counter()
            batch = next(iterator, None)
            self.data_seconds = time.perf_counter() - started
            if batch is None:
                return
            yield batch

    def add(self, images: int) -> None:
        """Count the newest batch, of ``images`` over all processes."""
        self._batches += 1
        self._images += images
        self._epoch_images += images
        self._waited += self.data_seconds

    def text(self, remaining_batches: int, unit: str) -> str:
        """Return the costs as the log line has them: seconds per batch, images per second, time left.

        Args:
            unit: of the throughput, "samples/s" or "images/sec".
        """
        elapsed = time.perf_counter() - self._started
        batch_cost = elapsed / max(1, self._batches)
        eta = timedelta(seconds=int(batch_cost * remaining_batches))
        return (
            f"batch_cost: {batch_cost:.5f}s, reader_cost: {self._waited / max(1, self._batches):.5f}, "
            f"ips: {self._images / max(elapsed, 1e-9):.5f} {unit}, eta: {eta}"
        )
