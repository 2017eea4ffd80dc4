"""Memory that worker processes write images to and the main process reads, without copying."""

from __future__ import annotations

import mmap
import weakref
from collections import deque
from typing import Deque, Optional, Tuple

import numpy as np


class Arena:
    """Room for a few batches, shared with the processes forked after it was made.

    The memory is anonymous: it needs no name that could be left behind, and is not bound by the size of /dev/shm,
    64 MB in many containers.

    Args:
        slots: how many batches.
        batch_size: images a batch.
        image_shape: (C, H, W) of the expected images.

    Raises:
        OSError: the memory is not to be had.
    """

    def __init__(self, slots: int, batch_size: int, image_shape: Tuple[int, ...]) -> None:
        self._image_shape = image_shape
        self._batch_size = batch_size
        self._slot_bytes = 4 * batch_size * int(np.prod(image_shape))
        self._memory = mmap.mmap(-1, slots * self._slot_bytes)
        self._free: Deque[int] = deque(range(slots))

    def take(self) -> Optional[int]:
        """Return a free slot, None while the images of all are still in use."""
        return self._free.popleft() if self._free else None

    def give_back(self, slot: int) -> None:
        """Make a slot free whose images nobody has seen."""
        self._free.append(slot)

    def fits(self, shape: Tuple[int, ...]) -> bool:
        """Return whether images [n, C, H, W] are of the expected shape."""
        return shape[1:] == self._image_shape

    def view(self, slot: int, start: int, count: int) -> np.ndarray:
        """Return images [count, C, H, W] of a slot, from the one numbered ``start``."""
        return self._flat(slot).reshape(self._batch_size, *self._image_shape)[start : start + count]

    def hand_out(self, slot: int, count: int) -> np.ndarray:
        """Return a slot's first images; the slot is free again when nobody holds them, or a view of them, any more."""
        flat = self._flat(slot)
        # Every view of a view refers to this array, because its own base is no array: it lives as long as they do.
        weakref.finalize(flat, self._free.append, slot).atexit = False
        return flat.reshape(self._batch_size, *self._image_shape)[:count]

    def _flat(self, slot: int) -> np.ndarray:
        return np.frombuffer(self._memory, np.float32, self._slot_bytes // 4, slot * self._slot_bytes)


class Cancel:
    """A number that the main process raises to tell workers that older work is not wanted any more."""

    def __init__(self) -> None:
        self._number = np.frombuffer(mmap.mmap(-1, 8), np.int64)

    def advance(self) -> int:
        """Start new work; return its number."""
        self._number[0] += 1
        return int(self._number[0])

    def current(self) -> int:
        """Return the number of the work that is wanted."""
        return int(self._number[0])
