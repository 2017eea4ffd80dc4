"""The memory of this process, and errors of memory that ran out."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

_STATUS = Path("/proc/self/status")
# What Paddle says when an allocation fails, on a GPU and on a CPU; the last: one of Python's in a backward pass.
_MESSAGES = ("ResourceExhausted", "Out of memory", "out of memory", "bad_alloc", "Fail to alloc memory", "MemoryError")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that an allocation failed."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(message in str(error) for message in _MESSAGES)


def process_memory() -> Optional[int]:
    """Return the bytes of resident memory of this process; None where the system does not tell (not Linux)."""
    return _status_value("VmRSS")


def peak_process_memory() -> Optional[int]:
    """Return the most bytes of resident memory since the process began; None where the system does not tell."""
    return _status_value("VmHWM")


def _status_value(name: str) -> Optional[int]:
    try:
        lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None
