"""Worker processes of commands that go through a whole data set."""

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
def worker_pool(count: int, remember: Callable[[Any], None], value: Any) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of processes, in each of which ``remember(value)`` was called.

    An error in the block, Ctrl-C too, ends them at once.

    Raises:
        MachineError: one of them was killed.
    """
    context: Any = multiprocessing.get_context("fork" if can_fork() else "spawn")
    arguments = (remember, value, os.getpid())
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin, initargs=arguments) as pool:
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


def _begin(remember: Callable[[Any], None], value: Any, parent: int) -> None:
    """Begin as a worker: Ctrl-C is the parent's to handle, and without a parent there is nothing to do."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # without other libraries' last words
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    remember(value)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)
