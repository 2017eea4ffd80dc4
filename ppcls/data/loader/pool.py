"""The pool of worker processes, in the main process."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
from collections import deque
from dataclasses import dataclass
from multiprocessing import connection as mp_connection
from multiprocessing import util
from multiprocessing.connection import Connection
from typing import Any, Deque, Iterator, List, Optional

import numpy as np

from ppcls.data.loader.batch import Batch, SampleLoader
from ppcls.data.loader.memory import SharedBuffer, SharedCounter
from ppcls.data.loader.worker import Reply, Task, Worker
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.errors import DataError

_STOP_SECONDS = 2.0  # a worker that has not ended after this time is killed


@dataclass(frozen=True)
class _PendingBatch:
    """A batch that workers are preparing.

    Attributes:
        count: number of samples.
        slot: slot of the shared buffer.
        workers: number of the worker of each part, in the order of the parts.
    """

    count: int
    slot: Optional[int]
    workers: List[int]


class WorkerPool:
    """Worker processes. Each batch is divided among all of them, so that few batches are in memory at a time.

    Args:
        samples: reads and transforms samples.
        sampler: chooses the samples of each batch.
        count: number of processes.
        prefetch: number of batches prepared in advance.
        slot_size: elements of the largest batch, for the shared buffer; None sends images through pipes.
    """

    def __init__(
        self,
        samples: SampleLoader,
        sampler: DistributedBatchSampler,
        count: int,
        prefetch: int,
        slot_size: Optional[int],
    ) -> None:
        self.broken = False
        self._samples, self._sampler = samples, sampler
        # A batch smaller than the number of workers keeps only some of them busy, so more batches are prepared.
        self._max_pending = max(1, prefetch) + -(-count // sampler.batch_size)
        fork = can_fork()
        context: Any = multiprocessing.get_context("fork" if fork else "spawn")
        self._current_pass = SharedCounter() if fork else None
        # One more slot for the batch that the caller works on, and one for the batch that it requests meanwhile.
        slots = self._max_pending + 2
        self._buffer = _create_buffer(slots, slot_size) if fork and slot_size is not None else None
        worker = Worker(samples, sampler, self._buffer, self._current_pass)
        pipes = [context.Pipe() for _ in range(count)]
        self._connections: List[Connection] = [parent_end for parent_end, _ in pipes]
        self._processes: List[Any] = []
        # At exit it has to run before multiprocessing waits for its processes.
        self._stop = util.Finalize(
            self, _stop, args=(self._connections, self._processes, self._current_pass), exitpriority=10
        )
        for _, child_end in pipes:
            inherited = [end for pipe in pipes for end in pipe if end is not child_end] if fork else []
            process = context.Process(
                target=worker.run, args=(child_end, inherited, os.getpid()), daemon=True, name="ppcls data"
            )
            process.start()
            self._processes.append(process)
        for _, child_end in pipes:
            child_end.close()
        self._pass_number = 0
        self._pending: Deque[_PendingBatch] = deque()

    def run(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the batches of an epoch, beginning with number ``start``.

        Raises:
            DataError: a sample is broken, or a worker died.
        """
        try:
            self._discard_pending()
            sizes = [len(batch) for batch in self._sampler.batches(epoch)]
            submitted = start
            for number in range(start, len(sizes)):
                while submitted < len(sizes) and submitted < number + self._max_pending:
                    self._submit(epoch, submitted, sizes[submitted])
                    submitted += 1
                yield self._receive_batch()
        except (DataError, RuntimeError, GeneratorExit):
            raise
        except BaseException:
            # Ctrl-C or another signal may have interrupted us between two replies of one batch. It is not known which
            # of them were received, so waiting for the others could block for ever.
            self.close()
            raise

    def close(self) -> None:
        """End all workers."""
        self.broken = True
        self._stop()

    def _discard_pending(self) -> None:
        """Begin a new pass; receive and discard the batches that an earlier one requested and did not use."""
        self._pass_number = self._pass_number + 1 if self._current_pass is None else self._current_pass.increment()
        while self._pending:
            batch = self._pending[0]
            for worker in batch.workers:
                self._receive(worker)
            self._pending.popleft()
            self._release_slot(batch)

    def _submit(self, epoch: int, number: int, count: int) -> None:
        """Divide a batch of ``count`` samples among the workers."""
        parts = min(len(self._connections), count)
        slot = self._buffer.acquire_slot() if self._buffer is not None and count else None
        # Equal parts always go to the same workers, so that each reads its shards from front to back. Otherwise the
        # workers take turns at the larger parts.
        first = number if count % len(self._connections) else 0
        workers = [(first + part) % len(self._connections) for part in range(parts)]
        for part, worker in enumerate(workers):
            start, stop = count * part // parts, count * (part + 1) // parts
            task = Task(self._pass_number, epoch, number, start, stop, count, slot)
            try:
                self._connections[worker].send(task)
            except OSError:
                raise self._worker_died(worker) from None
        self._pending.append(_PendingBatch(count, slot, workers))

    def _receive_batch(self) -> Batch:
        """Return the oldest pending batch."""
        batch = self._pending[0]
        replies = [self._receive(worker) for worker in batch.workers]
        self._pending.popleft()
        parts: List[Batch] = []
        for reply in replies:
            if reply.part is None:
                self._release_slot(batch)
                failure = RuntimeError(f"in a data worker:\n{reply.traceback}")
                if reply.error is None:
                    raise failure
                raise reply.error from failure
            parts.append(reply.part)
            try:
                self._samples.check_shape(
                    int(parts[0].indices[0]), replies[0].shape[1:], int(reply.part.indices[0]), reply.shape[1:]
                )
            except DataError:
                self._release_slot(batch)
                raise
        if not parts:
            return self._samples.load_batch(0, None, [], np.empty)
        return Batch(
            self._gather_images(batch, replies),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.indices for part in parts]),
            tuple(item for part in parts for item in part.skipped),
        )

    def _gather_images(self, batch: _PendingBatch, replies: List[Reply]) -> np.ndarray:
        # All parts have the same image shape, so either all of them or none are in the shared buffer.
        if self._buffer is not None and batch.slot is not None and replies[0].in_shared_buffer:
            return self._buffer.take_images(batch.slot, (batch.count, *replies[0].shape[1:]))
        self._release_slot(batch)
        return np.concatenate([reply.part.images for reply in replies if reply.part is not None])

    def _release_slot(self, batch: _PendingBatch) -> None:
        if self._buffer is not None and batch.slot is not None:
            self._buffer.release_slot(batch.slot)

    def _receive(self, worker: int) -> Reply:
        connection = self._connections[worker]
        mp_connection.wait([connection, self._processes[worker].sentinel])
        try:
            reply = connection.recv() if connection.poll() else None  # a dead worker may have sent a last reply
        except (EOFError, OSError):
            reply = None
        if reply is None:
            raise self._worker_died(worker)
        return reply

    def _worker_died(self, worker: int) -> DataError:
        """Stop all workers; return the error for the one that died."""
        process = self._processes[worker]
        process.join(_STOP_SECONDS)
        code, pid = process.exitcode, process.pid
        self.close()
        if code == -getattr(signal, "SIGKILL", 9):
            reason = (
                "was killed (exit code -9), probably because memory ran out; lower loader.num_workers or "
                "sampler.batch_size"
            )
        else:
            reason = f"ended with exit code {code}"
        return DataError(f"data worker {worker} (process {pid}) {reason}")


def can_fork() -> bool:
    """Return whether worker processes are forked: not on Windows, nor on macOS, whose system libraries break."""
    return sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()


def _create_buffer(slots: int, slot_size: int) -> Optional[SharedBuffer]:
    try:
        return SharedBuffer(slots, slot_size)
    except OSError as error:
        logging.getLogger(__name__).warning("no shared memory for %d batches (%s): using pipes", slots, error.strerror)
        return None


def _stop(connections: List[Connection], processes: List[Any], current_pass: Optional[SharedCounter]) -> None:
    if current_pass is not None:
        current_pass.increment()
    for connection in connections:
        connection.close()
    for process in processes:
        process.join(_STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
