"""Memory for the results of operators, kept and used again.

A fresh buffer of 8 MB costs 2 to 4 ms of page faults on Linux, more than many operators take. The C library could be
told to keep freed memory (``mallopt``). But glibc before 2.38 rarely gives it out again for aligned requests of the
same size, and memory would grow with each step. So the project's operators have a pool.
"""

from __future__ import annotations

import ctypes
import functools
import math
import os
import threading
from collections import defaultdict
from typing import Any, DefaultDict, List, Sequence, Type

import numpy as np
import paddle

_ALIGNMENT = 64  # bytes, of a cache line and of the widest vector
_LARGEST_SHARE = 1.5  # of the most that was in use at once: what in use and idle buffers may take together
_CPU = paddle.CPUPlace()
_SMALLEST = 1 << 16  # bytes; the C library serves smaller requests well


class _Pool:
    """Buffers that are in use or idle; idle ones are given out again for requests of the same size."""

    def __init__(self) -> None:
        self._idle: DefaultDict[int, List[np.ndarray]] = defaultdict(list)
        self._lock = threading.RLock()  # garbage collection may give a buffer back while one is taken
        self._bytes_in_use = self._bytes_idle = self._most_in_use = 0

    def take(self, size: int) -> np.ndarray:
        """Return a buffer of ``size`` bytes and the padding that alignment may need."""
        with self._lock:
            if self._idle[size]:
                self._bytes_idle -= size
                buffer = self._idle[size].pop()
            else:
                # Sizes that are not asked for any more, as after another image size, must not add up.
                if self._bytes_in_use + size + self._bytes_idle > self._most_in_use * _LARGEST_SHARE:
                    self.release()
                buffer = np.empty(size + _ALIGNMENT, np.uint8)
            self._bytes_in_use += size  # not before: there may be no memory for it
            self._most_in_use = max(self._most_in_use, self._bytes_in_use)
        return buffer

    def release(self) -> None:
        """Free the idle buffers."""
        with self._lock:
            self._idle.clear()
            self._bytes_idle, self._most_in_use = 0, self._bytes_in_use

    def renew_lock(self) -> None:
        """Take a new lock in a process that was forked while another thread of its parent held the old one."""
        self._lock = threading.RLock()

    def give_back(self, buffer: np.ndarray) -> None:
        """Take back what ``take`` returned."""
        size = buffer.size - _ALIGNMENT
        with self._lock:
            self._bytes_in_use -= size
            self._bytes_idle += size
            self._idle[size].append(buffer)


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.renew_lock)


class _Loan:
    """Memory of the pool that is in use; gives it back when no array or tensor refers to it any more."""

    buffer: np.ndarray

    def __del__(self) -> None:
        if hasattr(self, "buffer"):
            _POOL.give_back(self.buffer)


@functools.cache
def _loan_type(size: int) -> Type[Any]:
    """Return a ctypes array of ``size`` bytes: of these, NumPy keeps the object and not only its memory."""
    return type("_LoanOfSize", (_Loan, ctypes.c_char * size), {})


def empty_array(shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    """Return an uninitialised, aligned array."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    buffer = _POOL.take(size)
    loan = _loan_type(size).from_buffer(buffer, -buffer.ctypes.data % _ALIGNMENT)
    loan.buffer = buffer
    return np.frombuffer(loan, dtype).reshape(shape)


def release_memory() -> None:
    """Free the memory that is kept for results of the size of earlier ones, as after a training."""
    _POOL.release()


def empty(shape: Sequence[int]) -> paddle.Tensor:
    """Return an uninitialised float32 tensor on the CPU."""
    if math.prod(shape) * 4 < _SMALLEST:
        return paddle.empty(shape, "float32")
    return paddle.base.core.eager.Tensor(
        value=empty_array(shape),
        place=_CPU,
        persistable=False,
        zero_copy=True,
        name=None,
        stop_gradient=True,
    )
