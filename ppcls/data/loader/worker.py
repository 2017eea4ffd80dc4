"""The code that runs in a worker process."""

from __future__ import annotations

import os
import signal
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.loader.batch import Batch, SampleLoader
from ppcls.data.loader.memory import SharedBuffer, SharedCounter
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.errors import PpclsError

_PARENT_CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Task:
    """A request for a part of a batch.

    Attributes:
        pass_number: number of the pass over the data that the task belongs to.
        batch: number of the batch in its epoch.
        start: position of the part's first sample in the batch.
        stop: position after its last sample.
        count: number of samples of the whole batch.
        slot: slot of the shared buffer for the images; None sends them through the connection.
    """

    pass_number: int
    epoch: int
    batch: int
    start: int
    stop: int
    count: int
    slot: Optional[int]


@dataclass(frozen=True)
class Reply:
    """The answer to a task.

    Attributes:
        part: the samples; without images if these are in the shared buffer. None after an error.
        in_shared_buffer: whether the images are in the shared buffer.
        shape: [n, C, H, W] of the images, or [n, views, C, H, W].
        error: an error that the user can mend, such as a broken image or a transform that fails.
        traceback: of that error, or of any other exception.
    """

    part: Optional[Batch] = None
    in_shared_buffer: bool = False
    shape: Tuple[int, ...] = ()
    error: Optional[PpclsError] = None
    traceback: Optional[str] = None


class _CancelledError(Exception):
    """The task belongs to an earlier pass over the data."""


@dataclass
class Worker:
    """A worker process.

    Attributes:
        samples: reads and transforms samples.
        sampler: chooses the samples of each batch.
        buffer: memory for images shared with the main process; None sends images through the connection.
        current_pass: number of the current pass; None works on every task.
    """

    samples: SampleLoader
    sampler: DistributedBatchSampler
    buffer: Optional[SharedBuffer]
    current_pass: Optional[SharedCounter]
    _epoch: int = -1
    _batches: Sequence[np.ndarray] = ()

    def run(self, connection: Connection, inherited: List[Connection], parent: int) -> None:
        """Process tasks until the main process closes the connection or ends.

        Args:
            connection: to the main process.
            inherited: connections of other workers, inherited by the fork. While they are open here, those workers
                would not notice the end of the main process.
            parent: process id of the main process.
        """
        for name in ("SIGINT", "SIGTERM"):  # they are sent to all processes of a job; the main process handles them
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        for other in inherited:
            other.close()
        try:
            while True:
                while not connection.poll(_PARENT_CHECK_SECONDS):
                    if os.getppid() != parent:
                        return
                connection.send(self._process(connection.recv()))
        except (EOFError, OSError):
            return  # the main process has ended or closed the connection

    def _process(self, task: Task) -> Reply:
        try:
            return self._load_part(task)
        except _CancelledError:
            return Reply()
        except PpclsError as error:
            return Reply(error=error, traceback=traceback.format_exc())
        except Exception:  # noqa: BLE001  the main process raises it
            return Reply(traceback=traceback.format_exc())

    def _load_part(self, task: Task) -> Reply:
        def check_cancelled() -> None:
            if self.current_pass is not None and self.current_pass.current() != task.pass_number:
                raise _CancelledError

        def allocate(shape: Tuple[int, ...]) -> np.ndarray:
            if self.buffer is not None and task.slot is not None and self.buffer.fits(task.count, shape[1:]):
                return self.buffer.view(task.slot, task.start, shape)
            return np.empty(shape, np.float32)

        if self._epoch != task.epoch:
            self._epoch, self._batches = task.epoch, self.sampler.batches(task.epoch)
        draws = self._batches[task.batch][task.start : task.stop].tolist()
        part = self.samples.load_batch(task.epoch, task.batch, draws, allocate, check_cancelled)
        shape = part.images.shape
        in_shared_buffer = self.buffer is not None and task.slot is not None and self.buffer.fits(task.count, shape[1:])
        if in_shared_buffer:
            part = Batch(np.empty(0, np.float32), part.labels, part.indices, part.skipped)
        return Reply(part, in_shared_buffer, shape)
