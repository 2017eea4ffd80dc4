"""Worker processes for commands that read a whole data set."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, Iterator

from ppcls.data.loader.pool import can_fork
from ppcls.errors import MachineError

_PARENT_CHECK_SECONDS = 1.0


@contextlib.contextmanager
def worker_pool(count: int, initializer: Callable[[Any], None], argument: Any) -> Iterator[ProcessPoolExecutor]:
    """Start a pool of processes; use as a context manager.

    An exception in the block, including Ctrl-C, ends the processes at once.

    Args:
        count: number of processes.
        initializer: called once in each process before any work.
        argument: passed to ``initializer``.

    Raises:
        MachineError: a process was killed.
    """
    context: Any = multiprocessing.get_context("fork" if can_fork() else "spawn")
    arguments = (initializer, argument, os.getpid())
    with ProcessPoolExecutor(count, mp_context=context, initializer=_start_worker, initargs=arguments) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise MachineError(
                "a worker process was killed, probably because memory ran out; lower --workers"
            ) from None
        except BaseException:
            for child in multiprocessing.active_children():
                child.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker(initializer: Callable[[Any], None], argument: Any, parent: int) -> None:
    """Set up a worker process: the parent handles Ctrl-C, and the worker ends when the parent has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # other libraries' handlers would print messages
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    initializer(argument)


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)
