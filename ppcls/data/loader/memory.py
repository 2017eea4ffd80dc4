"""Memory shared between the worker processes, which write images to it, and the main process, which reads them."""

from __future__ import annotations

import math
import mmap
import weakref
from collections import deque
from typing import Deque, Optional, Tuple

import numpy as np


class SharedBuffer:
    """Memory for a few batches, shared with the processes that are forked after its creation.

    The memory is anonymous, so no file can be left behind, and the size of /dev/shm (64 MB in many containers) does not
    limit it. It is divided into slots of one batch each.

    Args:
        slots: number of batches.
        slot_size: elements (float32) of the largest batch.

    Raises:
        OSError: the memory cannot be allocated.
    """

    def __init__(self, slots: int, slot_size: int) -> None:
        self._slot_size = slot_size
        self._slot_bytes = 4 * slot_size
        self._memory = mmap.mmap(-1, slots * self._slot_bytes)
        self._free: Deque[int] = deque(range(slots))

    def acquire_slot(self) -> Optional[int]:
        """Return a free slot; None if all are in use."""
        return self._free.popleft() if self._free else None

    def release_slot(self, slot: int) -> None:
        """Free a slot whose images were not passed on with ``take_images``."""
        self._free.append(slot)

    def fits(self, count: int, image_shape: Tuple[int, ...]) -> bool:
        """Return whether a slot has room for ``count`` images of a shape."""
        return count * math.prod(image_shape) <= self._slot_size

    def view(self, slot: int, start: int, shape: Tuple[int, ...]) -> np.ndarray:
        """Return images of a slot from ``start`` on, to write to, as an array of ``shape`` [n, C, H, W]."""
        size = math.prod(shape[1:])
        return self._flat(slot)[start * size : (start + shape[0]) * size].reshape(shape)

    def take_images(self, slot: int, shape: Tuple[int, ...]) -> np.ndarray:
        """Return the images of a slot as an array of ``shape`` [B, C, H, W], without copying.

        The slot becomes free when the returned array and all views of it have been garbage-collected.
        """
        flat = self._flat(slot)
        # The base of every view is this array, because its own base is not an array: it lives as long as any view.
        weakref.finalize(flat, self._free.append, slot).atexit = False
        return flat[: math.prod(shape)].reshape(shape)

    def _flat(self, slot: int) -> np.ndarray:
        return np.frombuffer(self._memory, np.float32, self._slot_size, slot * self._slot_bytes)


class SharedCounter:
    """Number of the current pass over the data, shared with forked workers: they drop tasks of earlier passes."""

    def __init__(self) -> None:
        self._value = np.frombuffer(mmap.mmap(-1, 8), np.int64)

    def increment(self) -> int:
        """Begin a new pass; return its number."""
        self._value[0] += 1
        return int(self._value[0])

    def current(self) -> int:
        """Return the number of the current pass."""
        return int(self._value[0])
