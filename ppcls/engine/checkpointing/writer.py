"""Writing beside training: one job at a time, in a thread."""

from __future__ import annotations

import threading
from typing import Callable, Optional


class Writer:
    """Runs a job in the background; its error is raised by the next call of ``check``, ``wait`` or ``start``.

    A job works on copies, calls nothing of Paddle and holds no lock that data workers use: they are forked at any
    moment, and have no such thread. One job at a time bounds the memory that those copies take.
    """

    def __init__(self) -> None:
        self._thread: Optional[threading.Thread] = None
        self._error: Optional[BaseException] = None

    @property
    def busy(self) -> bool:
        """Return whether a job is running."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, job: Callable[[], None]) -> None:
        """Run ``job`` in the background, after the one before it."""
        self.wait()
        # A daemon: a second Ctrl-C does not wait for a disk. What is cut off was not committed, and the old set stays.
        self._thread = threading.Thread(target=self._run, args=(job,), name="checkpoint-writer", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise the error of a job that failed, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Wait for the job, if one is running; raise its error."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _run(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:  # noqa: BLE001  raised in the main thread
            self._error = error
