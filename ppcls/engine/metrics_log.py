"""What a run leaves to read: log lines, ``metrics.jsonl`` and VisualDL curves."""

from __future__ import annotations

import contextlib
import json
import math
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Dict, Iterable, Iterator, Mapping, Optional, TypeVar

from tqdm import tqdm

from ppcls.errors import MachineError
from ppcls.utils import atomic, distributed
from ppcls.utils.logging import get_logger

METRICS = "metrics.jsonl"
T = TypeVar("T")


def progress(batches: Iterable[T], title: str, total: int, done: int = 0) -> Iterator[T]:
    """Iterate with a progress bar (rate and remaining time); silent where standard error is no terminal."""
    quiet = None if distributed.is_main() else True  # None: where standard error is no terminal
    with tqdm(batches, desc=title, total=total, initial=done, unit="batch", leave=False, disable=quiet) as bar:
        yield from bar


def values_text(values: Mapping[str, float]) -> str:
    """Return "CELoss: 0.12345, loss: 0.12345, top1: 0.98000"."""
    return ", ".join(f"{name}: {value:.5f}" for name, value in values.items())


class Clock:
    """Average cost of a batch, and of waiting for it, since the last log line."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what was measured."""
        self.batches = self.images = 0
        self.reading = 0.0
        self.started = time.perf_counter()

    def add(self, images: int, reading: float) -> None:
        """Count one batch of ``images`` that took ``reading`` seconds to arrive."""
        self.batches += 1
        self.images += images
        self.reading += reading

    def text(self, remaining_batches: int) -> str:
        """Return the costs as the log line has them: seconds a batch, images a second, time left."""
        elapsed = time.perf_counter() - self.started
        batch_cost = elapsed / max(1, self.batches)
        eta = timedelta(seconds=round(batch_cost * remaining_batches))
        return (
            f"batch_cost: {batch_cost:.5f}s, reader_cost: {self.reading / max(1, self.batches):.5f}, "
            f"ips: {self.images / max(elapsed, 1e-9):.1f} images/sec, eta: {eta}"
        )


class MetricsLog:
    """The machine-readable side of a run's log; of several processes the first one writes it.

    Args:
        folder: the run's output folder.
        kept: length in bytes of ``metrics.jsonl`` when the checkpoint that is resumed was written; what was written
            after it is dropped, since it will be written again. None for a new run.
    """

    def __init__(self, folder: Path, kept: Optional[int], use_visualdl: bool) -> None:
        self._file: Any = None
        self._curves: Any = None
        if not distributed.is_main():
            return
        path = folder / METRICS
        if path.exists():
            with path.open("r+b") as file:
                file.truncate(min(kept or 0, path.stat().st_size))
        self._file = path.open("a", encoding="utf-8")
        if use_visualdl:
            from visualdl import LogWriter  # imports for seconds; only where it is wanted

            self._curves = LogWriter(logdir=str(folder / "vdl"))

    def write(self, kind: str, step: int, epoch: int, values: Mapping[str, float]) -> Dict[str, Any]:
        """Add one record: a line of the file, a point of each curve."""
        # JSON has no NaN.
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        record = {"kind": kind, "step": step, "epoch": epoch, **finite}
        if self._file is None:
            return record
        try:
            self._file.write(json.dumps(record) + "\n")
            self._file.flush()
        except OSError as error:
            raise MachineError(f"{self._file.name} cannot be written: {error.strerror}") from None
        if self._curves is not None:
            for name, value in values.items():
                self._curves.add_scalar(tag=f"{kind}/{name}", step=step, value=value)
        return record

    def position(self) -> int:
        """Return the length of ``metrics.jsonl`` in bytes."""
        return 0 if self._file is None else int(self._file.tell())

    def close(self) -> None:
        """Close the files."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # what could not be written was reported when it was
                self._file.close()
        if self._curves is not None:
            self._curves.close()


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file in one step and say where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
    get_logger().info("wrote %s", path)
