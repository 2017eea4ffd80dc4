"""The numbers of threads of Intel's OpenMP runtime and of MKL, which are part of Paddle's wheel.

Both count for the Python thread that asks.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
from pathlib import Path
from typing import Iterator, NamedTuple, Optional


class Runtime(NamedTuple):
    """The libraries that count threads."""

    openmp: ctypes.CDLL
    mkl: Optional[ctypes.CDLL]  # not in every build

    def get_threads(self) -> int:
        """Return how many threads computations use."""
        return int(self.openmp.omp_get_max_threads())

    def set_threads(self, count: int) -> None:
        """Let computations use ``count`` threads from now on."""
        self.openmp.omp_set_num_threads(count)
        if self.mkl is not None:
            self.mkl.MKL_Set_Num_Threads(count)


@functools.cache
def load() -> Optional[Runtime]:
    """Return the libraries; None where this build of Paddle does not contain Intel's runtime."""
    paddle = importlib.util.find_spec("paddle")
    if paddle is None or paddle.origin is None:
        return None
    folder = Path(paddle.origin).parent / "libs"
    try:
        openmp = ctypes.CDLL(str(folder / "libiomp5.so"))
    except OSError:
        return None
    try:
        return Runtime(openmp, ctypes.CDLL(str(folder / "libmklml_intel.so")))
    except OSError:
        return Runtime(openmp, None)


@contextlib.contextmanager
def keep_threads() -> Iterator[None]:
    """Go back to the number of threads afterwards."""
    runtime = load()
    before = None if runtime is None else runtime.get_threads()
    try:
        yield
    finally:
        if runtime is not None and before is not None:
            runtime.set_threads(before)
