"""Worker processes, seen from the main process."""

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
from typing import Any, Deque, Iterator, List, Optional, Tuple

import numpy as np

from ppcls.data.loader.batch import Batch, Reader
from ppcls.data.loader.memory import Arena, Cancel
from ppcls.data.loader.worker import Reply, Task, Worker
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.errors import DataError

_STOP_SECONDS = 2.0  # a worker that does not end by itself is killed after this


@dataclass(frozen=True)
class _Issued:
    """A batch in the making.

    Attributes:
        slot: of the arena.
        workers: which worker makes which part, in the order of the parts.
    """

    count: int
    slot: Optional[int]
    workers: List[int]


class Pool:
    """Processes that make batches. Every batch is shared out between them, so few are in memory at any time.

    Args:
        reader: makes samples.
        sampler: says which samples make a batch.
        count: how many processes.
        prefetch: batches made ahead.
        image_shape: (C, H, W) of the images, for shared memory; None sends them through pipes.
    """

    def __init__(
        self,
        reader: Reader,
        sampler: DistributedBatchSampler,
        count: int,
        prefetch: int,
        image_shape: Optional[Tuple[int, ...]],
    ) -> None:
        self.broken = False
        self._reader, self._sampler = reader, sampler
        # Batches smaller than the number of workers occupy only some of them: more are made at a time.
        self._depth = max(1, prefetch) + -(-count // sampler.batch_size)
        forks = can_fork()
        context: Any = multiprocessing.get_context("fork" if forks else "spawn")
        self._cancel = Cancel() if forks else None
        # One more for the batch that the caller works on, and one for the batch that it asks for meanwhile.
        slots = self._depth + 2
        self._arena = _arena(slots, sampler.batch_size, image_shape) if forks and image_shape is not None else None
        worker = Worker(reader, sampler, self._arena, self._cancel)
        pipes = [context.Pipe() for _ in range(count)]
        self._connections: List[Connection] = [ours for ours, _ in pipes]
        self._processes: List[Any] = []
        # Also runs before multiprocessing waits for its processes at the end of the program.
        self._stop = util.Finalize(
            self, _stop, args=(self._connections, self._processes, self._cancel), exitpriority=10
        )
        for _, theirs in pipes:
            others = [end for pipe in pipes for end in pipe if end is not theirs] if forks else []
            process = context.Process(
                target=worker.serve, args=(theirs, others, os.getpid()), daemon=True, name="ppcls data"
            )
            process.start()
            self._processes.append(process)
        for _, theirs in pipes:
            theirs.close()
        self._work = 0
        self._outstanding: Deque[_Issued] = deque()

    def run(self, epoch: int, start: int) -> Iterator[Batch]:
        """Yield the batches of an epoch from number ``start`` on.

        Raises:
            DataError: a sample is broken, or a worker died.
        """
        try:
            self._abandon()
            sizes = [len(batch) for batch in self._sampler.batches(epoch)]
            issued = start
            for number in range(start, len(sizes)):
                while issued < len(sizes) and issued < number + self._depth:
                    self._issue(epoch, issued, sizes[issued])
                    issued += 1
                yield self._collect()
        except (DataError, RuntimeError, GeneratorExit):
            raise
        except BaseException:
            # Ctrl-C, or another signal's handler, may have struck between two answers of one batch: which of them were
            # taken is not known, and waiting for the others could last for ever.
            self.close()
            raise

    def close(self) -> None:
        """End all workers."""
        self.broken = True
        self._stop()

    def _abandon(self) -> None:
        """Wait for what an earlier pass asked for and did not take."""
        self._work = self._work + 1 if self._cancel is None else self._cancel.advance()
        while self._outstanding:
            issued = self._outstanding[0]
            for worker in issued.workers:
                self._receive(worker)
            self._outstanding.popleft()
            self._give_back(issued)

    def _issue(self, epoch: int, number: int, count: int) -> None:
        """Share a batch out."""
        parts = min(len(self._connections), count)
        slot = self._arena.take() if self._arena is not None and count else None
        # Equal parts stay with their workers, each of which then reads its shards from front to back. Of others the
        # larger ones go around.
        first = number if count % len(self._connections) else 0
        workers = [(first + part) % len(self._connections) for part in range(parts)]
        for part, worker in enumerate(workers):
            task = Task(self._work, epoch, number, count * part // parts, count * (part + 1) // parts, slot)
            try:
                self._connections[worker].send(task)
            except OSError:
                raise self._died(worker) from None
        self._outstanding.append(_Issued(count, slot, workers))

    def _collect(self) -> Batch:
        """Return the oldest batch that was issued."""
        issued = self._outstanding[0]
        replies = [self._receive(worker) for worker in issued.workers]
        self._outstanding.popleft()
        parts: List[Batch] = []
        for reply in replies:
            if reply.part is None:
                self._give_back(issued)
                if reply.bug is not None:
                    raise RuntimeError(f"in a data worker:\n{reply.bug}")
                raise DataError(reply.error)
            parts.append(reply.part)
            try:
                self._reader.check_shape(
                    int(parts[0].indices[0]), replies[0].shape[1:], int(reply.part.indices[0]), reply.shape[1:]
                )
            except DataError:
                self._give_back(issued)
                raise
        if not parts:
            return self._reader.batch(0, [], np.empty)
        return Batch(
            self._images(issued, replies),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.indices for part in parts]),
            tuple(item for part in parts for item in part.skipped),
        )

    def _images(self, issued: _Issued, replies: List[Reply]) -> np.ndarray:
        # All parts have one shape, so all are in the arena or none is.
        if self._arena is not None and issued.slot is not None and replies[0].in_arena:
            return self._arena.hand_out(issued.slot, issued.count)
        self._give_back(issued)
        return np.concatenate([reply.part.images for reply in replies if reply.part is not None])

    def _give_back(self, issued: _Issued) -> None:
        if self._arena is not None and issued.slot is not None:
            self._arena.give_back(issued.slot)

    def _receive(self, worker: int) -> Reply:
        link = self._connections[worker]
        mp_connection.wait([link, self._processes[worker].sentinel])
        try:
            reply = link.recv() if link.poll() else None  # a last reply may have come before the end
        except (EOFError, OSError):
            reply = None
        if reply is None:
            raise self._died(worker)
        return reply

    def _died(self, worker: int) -> DataError:
        """Return the error for a worker that is gone; the others are ended."""
        process = self._processes[worker]
        process.join(_STOP_SECONDS)
        code, pid = process.exitcode, process.pid
        self.close()
        if code == -getattr(signal, "SIGKILL", 9):
            why = (
                "was killed (exit code -9), probably because memory ran out; lower loader.num_workers or "
                "sampler.batch_size"
            )
        else:
            why = f"ended with exit code {code}"
        return DataError(f"data worker {worker} (process {pid}) {why}")


def can_fork() -> bool:
    """Return whether workers are forked: everywhere but on Windows, and on macOS, whose libraries do not bear it."""
    return sys.platform != "darwin" and "fork" in multiprocessing.get_all_start_methods()


def _arena(slots: int, batch_size: int, image_shape: Tuple[int, ...]) -> Optional[Arena]:
    try:
        return Arena(slots, batch_size, image_shape)
    except OSError as error:
        logging.getLogger(__name__).warning("no shared memory for %d batches (%s): using pipes", slots, error.strerror)
        return None


def _stop(connections: List[Connection], processes: List[Any], cancel: Optional[Cancel]) -> None:
    if cancel is not None:
        cancel.advance()
    for link in connections:
        link.close()
    for process in processes:
        process.join(_STOP_SECONDS)
        if process.is_alive():
            process.kill()
            process.join()
