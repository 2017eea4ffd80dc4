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
_Tensor = paddle.base.core.eager.Tensor
_initialize = getattr(paddle, "original_init", _Tensor.__init__)  # the constructor before Paddle 3.3 wraps it
_SMALLEST = 1 << 16  # bytes; the C library serves smaller requests well


class _Buffer:
    """Memory of the pool, ``size`` bytes from an aligned address on."""

    __slots__ = ("memory", "size", "start")

    def __init__(self, size: int) -> None:
        self.size, self.memory = size, np.empty(size + _ALIGNMENT, np.uint8)
        self.start = -self.memory.ctypes.data % _ALIGNMENT


class _Pool:
    """Buffers that are in use or idle; idle ones are given out again for requests of the same size."""

    def __init__(self) -> None:
        self._idle: DefaultDict[int, List[_Buffer]] = defaultdict(list)
        self._lock = threading.RLock()  # garbage collection may give a buffer back while one is taken
        self._bytes_in_use = self._bytes_idle = self._most_in_use = 0

    def take(self, size: int) -> _Buffer:
        """Return a buffer of ``size`` bytes."""
        with self._lock:
            if self._idle[size]:
                self._bytes_idle -= size
                buffer = self._idle[size].pop()
            else:
                # Sizes that are not asked for any more, as after another image size, must not add up.
                if self._bytes_in_use + size + self._bytes_idle > self._most_in_use * _LARGEST_SHARE:
                    self.release()
                buffer = _Buffer(size)
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

    def give_back(self, buffer: _Buffer) -> None:
        """Take back what ``take`` returned."""
        with self._lock:
            self._bytes_in_use -= buffer.size
            self._bytes_idle += buffer.size
            self._idle[buffer.size].append(buffer)


_POOL = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_POOL.renew_lock)


class _Loan:
    """Memory of the pool that is in use; gives it back when no array or tensor refers to it any more."""

    buffer: _Buffer

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
    loan = _loan_type(size).from_buffer(buffer.memory, buffer.start)
    loan.buffer = buffer
    return np.ndarray(shape, dtype, loan)


def release_memory() -> None:
    """Free the memory that is kept for results of the size of earlier ones, as after a training."""
    _POOL.release()


def empty(shape: Sequence[int]) -> paddle.Tensor:
    """Return an uninitialised float32 tensor on the CPU.

    ``paddle.empty`` and ``paddle.Tensor`` are not called, but what they call: the checks around it are Python code that
    kernels have driven out of the caches, and together took 2 to 3 % of a training step.
    """
    if math.prod(shape) * 4 < _SMALLEST:
        return paddle._C_ops.empty(list(shape), paddle.float32, _CPU)
    tensor = _Tensor.__new__(_Tensor)
    persistable, zero_copy, name, stop_gradient = False, True, None, True
    _initialize(tensor, empty_array(shape), _CPU, persistable, zero_copy, name, stop_gradient)
    return tensor


def elements(x: paddle.Tensor) -> int:
    """Return the number of elements; ``Tensor.size`` asks NumPy, which takes twenty times as long."""
    return math.prod(x.shape)


def as_array(x: paddle.Tensor) -> np.ndarray:
    """Return the memory of a contiguous float32 tensor on the CPU as an array, which is valid as long as ``x`` is.

    ``Tensor.numpy`` copies it.
    """
    memory: Any = (ctypes.c_float * elements(x)).from_address(x.data_ptr())
    return np.frombuffer(memory, np.float32).reshape(x.shape)
