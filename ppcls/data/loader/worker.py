"""What a worker process does."""

from __future__ import annotations

import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.loader.batch import Batch, Reader
from ppcls.data.loader.memory import Arena, Cancel
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.errors import DataError

_PARENT_CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Task:
    """A part of a batch.

    Attributes:
        work: number of the pass over the data that wants it.
        batch: number of the batch in its epoch.
        start: first of the part's places in the batch.
        stop: the place after its last.
        slot: of the arena, where the images go; None sends them back.
    """

    work: int
    epoch: int
    batch: int
    start: int
    stop: int
    slot: Optional[int]


@dataclass(frozen=True)
class Reply:
    """The answer to a task.

    Attributes:
        part: the part's samples; without images where these are in the arena.
        shape: [n, C, H, W] of the images, wherever they are.
        error: why there is no part: the data.
        bug: why there is no part: anything else, as a traceback.
    """

    part: Optional[Batch] = None
    in_arena: bool = False
    shape: Tuple[int, ...] = ()
    error: Optional[str] = None
    bug: Optional[str] = None


class _CancelledError(Exception):
    """The task is not wanted any more."""


@dataclass
class Worker:
    """Everything that a worker process needs.

    Attributes:
        arena: memory shared with the main process; None sends images back.
        cancel: tells which work is wanted; None works off everything.
    """

    reader: Reader
    sampler: DistributedBatchSampler
    arena: Optional[Arena]
    cancel: Optional[Cancel]
    _epoch: int = -1
    _batches: Sequence[np.ndarray] = ()

    def serve(self, connection: Connection, others: List[Connection], parent: int) -> None:
        """Answer tasks until the main process closes the connection, or is gone.

        Args:
            others: connections inherited by accident: while anybody holds them open, their other ends are not told
                that the main process is gone.
            parent: its process id.
        """
        for name in ("SIGINT", "SIGTERM"):  # sent to all processes of a job: the main process decides what they mean
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        for other in others:
            other.close()
        try:
            while True:
                while not connection.poll(_PARENT_CHECK_SECONDS):
                    if os.getppid() != parent:
                        return
                connection.send(self._answer(connection.recv()))
        except (EOFError, OSError):
            return  # the main process is gone, or wants no more

    def _answer(self, task: Task) -> Reply:
        try:
            return self._part(task)
        except _CancelledError:
            return Reply()
        except DataError as error:
            return Reply(error=str(error))
        except Exception:  # noqa: BLE001  the main process raises it
            return Reply(bug=traceback.format_exc())

    def _part(self, task: Task) -> Reply:
        def check() -> None:
            if self.cancel is not None and self.cancel.current() != task.work:
                raise _CancelledError

        def allocate(shape: Tuple[int, ...]) -> np.ndarray:
            if self.arena is not None and task.slot is not None and self.arena.fits(shape):
                return self.arena.view(task.slot, task.start, shape[0])
            return np.empty(shape, np.float32)

        if self._epoch != task.epoch:
            self._epoch, self._batches = task.epoch, self.sampler.batches(task.epoch)
        part = self.reader.batch(
            task.epoch, self._batches[task.batch][task.start : task.stop].tolist(), allocate, check
        )
        shape = part.images.shape
        in_arena = self.arena is not None and task.slot is not None and self.arena.fits(shape)
        if in_arena:
            part = Batch(np.empty(0, np.float32), part.labels, part.indices, part.skipped)
        return Reply(part, in_arena, shape)
