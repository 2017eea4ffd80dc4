"""How much may be in the server at a time. What does not fit is refused at once, before it costs anything."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator

from ppcls.serving.errors import ClientLeftError, overloaded


class Gate:
    """Counts one resource; any thread.

    Args:
        limit: how much there may be.
        what: of what, for messages.
    """

    def __init__(self, limit: int, what: str) -> None:
        self.limit = limit
        self.used = 0
        self._what = what
        self._lock = threading.Lock()

    def take(self, amount: int) -> None:
        """Take some, to be given back by ``give``.

        Raises:
            RefusedError: 429, there is not so much left.
        """
        with self._lock:
            self.check(amount)
            self.used += amount

    def check(self, amount: int = 1) -> None:
        """Check that there is some left, and take nothing.

        Raises:
            RefusedError: 429, there is not so much left.
        """
        if self.used + amount > self.limit:
            raise overloaded(f"the server is full ({self.used} of {self.limit} {self._what})")

    def give(self, amount: int) -> None:
        """Give some back."""
        with self._lock:
            self.used -= amount

    @contextlib.contextmanager
    def share(self) -> Iterator[Share]:
        """Count what is taken bit by bit within a block, and give all of it back at its end."""
        share = Share(self)
        try:
            yield share
        finally:
            share.end()

    @contextlib.contextmanager
    def hold(self, amount: int = 1) -> Iterator[None]:
        """Take some for the time of a block.

        Raises:
            RefusedError: 429, there is not so much left.
        """
        self.take(amount)
        try:
            yield
        finally:
            self.give(amount)


class Share:
    """What one holder has taken of a gate, bit by bit; any thread."""

    def __init__(self, gate: Gate) -> None:
        self._gate, self._amount, self._ended = gate, 0, False
        self._lock = threading.Lock()

    def take(self, amount: int) -> None:
        """Take some more.

        Raises:
            RefusedError: 429, there is not so much left.
            ClientLeftError: the share has ended: nobody waits for what would be stored.
        """
        with self._lock:
            if self._ended:
                raise ClientLeftError
            self._gate.take(amount)
            self._amount += amount

    def end(self) -> None:
        """Give all of it back."""
        with self._lock:
            self._ended = True
            self._gate.give(self._amount)
            self._amount = 0
