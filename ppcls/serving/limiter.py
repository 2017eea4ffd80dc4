"""Limits of what the server holds at a time. What does not fit is refused at once, before it costs anything."""

from __future__ import annotations

import contextlib
import threading
from typing import Iterator

from ppcls.serving.errors import ClientDisconnectedError, overloaded


class Limiter:
    """Counts the use of one resource. Thread-safe.

    Args:
        limit: how much may be in use.
        resource: its name in messages.
    """

    def __init__(self, limit: int, resource: str) -> None:
        self.limit = limit
        self.used = 0
        self._resource = resource
        self._lock = threading.Lock()

    def acquire(self, amount: int) -> None:
        """Reserve an amount until ``release``.

        Raises:
            RequestError: 429, there is not enough left.
        """
        with self._lock:
            self.check(amount)
            self.used += amount

    def check(self, amount: int = 1) -> None:
        """Check that an amount is left, without reserving it.

        Raises:
            RequestError: 429, there is not enough left.
        """
        if self.used + amount > self.limit:
            raise overloaded(f"the server is full ({self.used} of {self.limit} {self._resource})")

    def release(self, amount: int) -> None:
        """Give a reserved amount back."""
        with self._lock:
            self.used -= amount

    @contextlib.contextmanager
    def acquired(self, amount: int = 1) -> Iterator[None]:
        """Reserve an amount during a block.

        Raises:
            RequestError: 429, there is not enough left.
        """
        self.acquire(amount)
        try:
            yield
        finally:
            self.release(amount)

    @contextlib.contextmanager
    def reservation(self) -> Iterator[Reservation]:
        """Give a reservation that can grow during a block, and release all of it afterwards."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            reservation.release()


class Reservation:
    """The growing reservation of one request. Thread-safe."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter, self._amount, self._released = limiter, 0, False
        self._lock = threading.Lock()

    def grow(self, amount: int) -> None:
        """Reserve some more.

        Raises:
            RequestError: 429, there is not enough left.
            ClientDisconnectedError: the reservation was released: nobody waits for the data.
        """
        with self._lock:
            if self._released:
                raise ClientDisconnectedError
            self._limiter.acquire(amount)
            self._amount += amount

    def release(self) -> None:
        """Give everything back, and refuse to grow again."""
        with self._lock:
            self._released = True
            self._limiter.release(self._amount)
            self._amount = 0
