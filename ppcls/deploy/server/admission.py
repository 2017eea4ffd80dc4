"""How much may be in the server at a time. What does not fit is refused at once, before it costs anything."""

from __future__ import annotations

import contextlib
from typing import Iterator

from ppcls.deploy.server.refusal import overloaded


class Gate:
    """Counts one resource.

    Args:
        limit: how much there may be.
        what: of what, for messages.
    """

    def __init__(self, limit: int, what: str) -> None:
        self.limit = limit
        self.used = 0
        self._what = what

    def take(self, amount: int) -> None:
        """Take some, to be given back by ``give``.

        Raises:
            RefusedError: 429, there is not so much left.
        """
        if self.used + amount > self.limit:
            raise overloaded(f"the server is full ({self.used} of {self.limit} {self._what})")
        self.used += amount

    def give(self, amount: int) -> None:
        """Give some back."""
        self.used -= amount

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
