"""The number of threads that operators use, changed while the process runs.

Paddle's own operators, MKL and oneDNN compute with the threads of Intel's OpenMP runtime, which is part of Paddle's
wheel.
"""

from __future__ import annotations

from typing import List, Optional

from ppcls.arch.ops import onednn
from ppcls.utils import openmp

_before: List[int] = []  # the count before the first change, while it is changed


def can_set_threads() -> bool:
    """Return whether the number of threads can be changed here."""
    return openmp.load() is not None


def get_threads() -> Optional[int]:
    """Return how many threads operators of this Python thread use; None if not known."""
    runtime = openmp.load()
    return None if runtime is None else runtime.get_threads()


def set_threads(count: int) -> None:
    """Let operators of this Python thread use ``count`` threads from now on.

    oneDNN's primitives are built for a number of threads, so those of the number before are dropped.

    Raises:
        RuntimeError: the number cannot be changed here, see ``can_set_threads``.
    """
    runtime, current = openmp.load(), get_threads()
    if runtime is None or current is None:
        raise RuntimeError("this build of Paddle does not contain Intel's OpenMP runtime")
    if not _before:
        _before.append(current)
    if count == current:
        return
    runtime.set_threads(count)
    onednn.clear_cached()


def reset_threads() -> None:
    """Go back to the number of threads before the first call of ``set_threads``."""
    if _before:
        set_threads(_before[0])
        _before.clear()
