"""Points of curves on their way to a tracker, which may be slow or may not answer."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Callable, Deque, Dict, List, Optional, Tuple

from ppcls.utils.logging import get_logger

Values = Dict[str, float]
_KEPT = 10_000  # points that wait; with more, the oldest ones are dropped
_RETRY_SECONDS = 60.0
_SECONDS_AT_END = 15.0  # for what is left when the run ends


class Sender:
    """Sends points in their order. Those that cannot be sent are kept, and tried again a minute later.

    Args:
        name: of the tracker, for messages.
        log: sends a point; it raises what it likes.
    """

    def __init__(self, name: str, log: Callable[[int, Values], None]) -> None:
        self._name, self._log = name, log
        self._pending: Deque[Tuple[int, Values]] = deque()
        self._dropped = 0
        self._failed_at: Optional[float] = None

    @property
    def missing(self) -> int:
        """How many points have not been sent."""
        return len(self._pending) + self._dropped

    def add(self, step: int, values: Values) -> None:
        """Send a point, or keep it."""
        self._keep(step, values)
        if self._pause() <= 0:
            self._send_all()

    def flush(self) -> None:
        """Send what is left, now or never."""
        self._send_all()

    def call(self, function: Callable[[], None]) -> None:
        """Call a function of the tracker; raise what it raises."""
        function()

    def _keep(self, step: int, values: Values) -> None:
        if len(self._pending) == _KEPT:
            self._pending.popleft()
            self._dropped += 1
        self._pending.append((step, values))

    def _pause(self) -> float:
        """Return how many seconds nothing is sent: an attempt may take long."""
        return 0.0 if self._failed_at is None else self._failed_at + _RETRY_SECONDS - time.monotonic()

    def _send_all(self) -> None:
        while self._pending:
            error = self._attempt(self._pending[0])
            self._note(error)
            if error is not None:
                return
            self._pending.popleft()

    def _attempt(self, point: Tuple[int, Values]) -> Optional[Exception]:
        """Send a point; return why that failed."""
        try:
            self._log(*point)
        except Exception as error:  # noqa: BLE001  of a package or a network: no reason to end the run
            return error
        return None

    def _note(self, error: Optional[Exception]) -> None:
        """Note how an attempt ended; the first failure is said."""
        if error is not None and self._failed_at is None:
            text = "%s does not answer: %s. Training goes on, and the values are sent when it answers again"
            get_logger().warning(text, self._name, error)
        self._failed_at = None if error is None else time.monotonic()


class BackgroundSender(Sender):
    """Sends points in a thread, so that no step of training waits for a network."""

    def __init__(self, name: str, log: Callable[[int, Values], None]) -> None:
        super().__init__(name, log)
        self._changed = threading.Condition()  # guards all that both threads use
        self._thread: Optional[threading.Thread] = None
        self._hurried = False  # whether the next attempt does not wait until it is due
        self._gave_up = False  # whether it did not answer when all that was left was to be sent

    def add(self, step: int, values: Values) -> None:
        """Hand a point to the thread."""
        with self._changed:
            self._keep(step, values)
            if self._thread is None:
                # A daemon: the process ends, whether the tracker answers or not.
                self._thread = threading.Thread(target=self._work, name=f"{self._name}-sender", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Wait until all is sent or an attempt has failed, for 15 seconds at most."""
        if self._gave_up:
            return
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not (self._pending and self._hurried), _SECONDS_AT_END)
            self._gave_up = bool(self._pending)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function of the tracker, for 15 seconds at most; raise what it raises.

        Raises:
            TimeoutError: it takes longer, or the tracker did not answer before.
        """
        if self._gave_up:
            raise TimeoutError("it does not answer")
        errors: List[Exception] = []

        def run() -> None:
            try:
                function()
            except Exception as error:  # noqa: BLE001  raised in the other thread
                errors.append(error)

        thread = threading.Thread(target=run, name=f"{self._name}-call", daemon=True)
        thread.start()
        thread.join(_SECONDS_AT_END)
        if thread.is_alive():
            raise TimeoutError(f"no answer in {_SECONDS_AT_END:.0f} seconds")
        if errors:
            raise errors[0]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pending)
                while not self._hurried and self._pause() > 0:
                    self._changed.wait(self._pause())
                point = self._pending[0]
            error = self._attempt(point)
            with self._changed:
                self._note(error)
                if error is not None:
                    self._hurried = False
                elif self._pending[0] is point:  # else it was dropped meanwhile
                    self._pending.popleft()
                else:
                    self._dropped -= 1  # and arrived all the same
                self._changed.notify_all()
