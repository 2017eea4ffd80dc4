"""Memory that ran out."""

from __future__ import annotations

# What Paddle says when an allocation fails, on a GPU and on a CPU.
_MESSAGES = ("ResourceExhausted", "Out of memory", "out of memory", "bad_alloc", "Fail to alloc memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that an allocation failed."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(message in str(error) for message in _MESSAGES)
