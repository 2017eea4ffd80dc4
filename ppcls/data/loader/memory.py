"""Memory shared between the worker processes, which write images to it, and the main process, which reads them."""

from __future__ import annotations

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
        batch_size: images per batch.
        image_shape: (C, H, W) of the images.

    Raises:
        OSError: the memory cannot be allocated.
    """

    def __init__(self, slots: int, batch_size: int, image_shape: Tuple[int, ...]) -> None:
        self._image_shape = image_shape
        self._batch_size = batch_size
        self._slot_bytes = 4 * batch_size * int(np.prod(image_shape))
        self._memory = mmap.mmap(-1, slots * self._slot_bytes)
        self._free: Deque[int] = deque(range(slots))

    def acquire_slot(self) -> Optional[int]:
        """Return a free slot; None if all are in use."""
        return self._free.popleft() if self._free else None

    def release_slot(self, slot: int) -> None:
        """Free a slot whose images were not passed on with ``take_images``."""
        self._free.append(slot)

    def fits(self, shape: Tuple[int, ...]) -> bool:
        """Return whether images [n, C, H, W] have the expected shape."""
        return shape[1:] == self._image_shape

    def view(self, slot: int, start: int, count: int) -> np.ndarray:
        """Return images ``start`` to ``start + count`` of a slot, [count, C, H, W], to write to."""
        return self._flat(slot).reshape(self._batch_size, *self._image_shape)[start : start + count]

    def take_images(self, slot: int, count: int) -> np.ndarray:
        """Return the first images of a slot, without copying.

        The slot becomes free when the returned array and all views of it have been garbage-collected.
        """
        flat = self._flat(slot)
        # The base of every view is this array, because its own base is not an array: it lives as long as any view.
        weakref.finalize(flat, self._free.append, slot).atexit = False
        return flat.reshape(self._batch_size, *self._image_shape)[:count]

    def _flat(self, slot: int) -> np.ndarray:
        return np.frombuffer(self._memory, np.float32, self._slot_bytes // 4, slot * self._slot_bytes)


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
