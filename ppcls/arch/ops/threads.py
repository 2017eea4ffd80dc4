"""The number of threads that operators use, changed while the process runs.

Paddle's own operators, MKL and oneDNN compute with the threads of Intel's OpenMP runtime, which is part of Paddle's
wheel.
"""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path
from typing import List, NamedTuple, Optional

import paddle

from ppcls.arch.ops import onednn


class _Runtime(NamedTuple):
    openmp: ctypes.CDLL
    mkl: Optional[ctypes.CDLL]  # not in every build


_before: List[int] = []  # the count before the first change, while it is changed


@functools.cache
def _load() -> Optional[_Runtime]:
    """Return the libraries that count threads; None where this build of Paddle does not contain Intel's runtime."""
    folder = Path(paddle.__file__).parent / "libs"
    try:
        openmp = ctypes.CDLL(str(folder / "libiomp5.so"))
    except OSError:
        return None
    try:
        return _Runtime(openmp, ctypes.CDLL(str(folder / "libmklml_intel.so")))
    except OSError:
        return _Runtime(openmp, None)


def can_set_threads() -> bool:
    """Return whether the number of threads can be changed here."""
    return _load() is not None


def get_threads() -> Optional[int]:
    """Return how many threads operators of this Python thread use; None if not known."""
    runtime = _load()
    return None if runtime is None else int(runtime.openmp.omp_get_max_threads())


def set_threads(count: int) -> None:
    """Let operators of this Python thread use ``count`` threads from now on.

    oneDNN's primitives are built for a number of threads, so those of the number before are dropped.

    Raises:
        RuntimeError: the number cannot be changed here, see ``can_set_threads``.
    """
    runtime, current = _load(), get_threads()
    if runtime is None or current is None:
        raise RuntimeError("this build of Paddle does not contain Intel's OpenMP runtime")
    if not _before:
        _before.append(current)
    if count == current:
        return
    runtime.openmp.omp_set_num_threads(count)
    if runtime.mkl is not None:
        runtime.mkl.MKL_Set_Num_Threads(count)
    onednn.clear_cached()


def reset_threads() -> None:
    """Go back to the number of threads before the first call of ``set_threads``."""
    if _before:
        set_threads(_before[0])
        _before.clear()
