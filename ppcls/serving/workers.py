"""Threads for what would block the event loop: decoding and fetching."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, TypeVar

T = TypeVar("T")


class Workers:
    """A pool of threads that knows when all of them are stuck.

    Args:
        threads: how many.
        name: of the threads, for debuggers.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, name)
        self._since: Dict[int, float] = {}  # by thread, of its present call
        self._lock = threading.Lock()

    @property
    def stuck_for(self) -> float:
        """Return the seconds that all threads have been in their present calls; 0 while one is free."""
        with self._lock:
            started = list(self._since.values())
        return time.monotonic() - max(started) if len(started) == self._threads else 0.0

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Return what the function returns, called in a thread, or raise what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._run_timed, function, arguments)

    def stop(self) -> None:
        """Take no more calls."""
        self._executor.shutdown(wait=False)

    def _run_timed(self, function: Callable[..., T], arguments: Any) -> T:
        thread = threading.get_ident()
        with self._lock:
            self._since[thread] = time.monotonic()
        try:
            return function(*arguments)
        finally:
            with self._lock:
                del self._since[thread]
