"""Ctrl-C and SIGTERM: finish the batch, save, say how to resume."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any, Dict, Optional

from ppcls.errors import PpclsError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger


class InterruptedRunError(PpclsError):
    """The user or the machine asked the run to stop; the message says how to continue."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.on_all_ranks = True  # all processes stop after the same batch
        self.exit_code = exit_code  # 128 + signal, as shells report it


class SignalHandler:
    """Context manager that turns the first signal into a flag; a second one stops at once."""

    def __init__(self) -> None:
        self.signal: Optional[int] = None
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> SignalHandler:
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, frame: Optional[FrameType]) -> None:
        if self.signal is not None:
            # The launcher passes Ctrl-C on as SIGTERM, and sends that several times.
            if number == signal.SIGTERM and distributed.world_size() > 1:
                return
            raise KeyboardInterrupt
        self.signal = number
        get_logger().warning(
            "stopping after this batch, and saving the run. To stop at once without saving, press Ctrl-C again"
        )

    @property
    def exit_code(self) -> int:
        """Return the process's exit code after this signal: 130 for Ctrl-C, 143 for SIGTERM."""
        return 128 + (self.signal or 0)
