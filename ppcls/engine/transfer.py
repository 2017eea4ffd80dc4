"""Copies between the host and the device that neither waits for.

A GPU computes while Python goes on, unless a copy makes Python wait: one from ordinary memory, or one whose value is
used at once. Here arrays go to GPUs through pinned memory, and values that come back are read a step later. On CPUs
both are plain copies. The code for GPUs has not been run: no test machine has one.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Callable, Deque, List, Tuple

import numpy as np
import paddle


def is_asynchronous() -> bool:
    """Return whether Python runs ahead of the device, which then must not be waited for in every step."""
    return str(paddle.get_device()).startswith("gpu")


class Uploader:
    """Copies arrays to the device.

    Pinned memory is freed only when its copy has been made. To know that, the host waits for the copies before the last
    ``_KEPT`` ones: it never runs further ahead of the device than that.
    """

    _KEPT = 3

    def __init__(self) -> None:
        self._copies: Deque[Tuple[Any, List[paddle.Tensor]]] = deque()  # the event after a copy, and its pinned memory

    def upload(self, *arrays: np.ndarray) -> List[paddle.Tensor]:
        """Return the arrays as tensors on the device."""
        if not is_asynchronous():
            return [paddle.to_tensor(array) for array in arrays]
        pinned = [paddle.to_tensor(array, place=paddle.CUDAPinnedPlace()) for array in arrays]
        tensors = [tensor.cuda(blocking=False) for tensor in pinned]
        self._copies.append((_record_event(), pinned))
        if len(self._copies) > self._KEPT:
            self._copies[0][0].synchronize()
            self._copies.popleft()
        return tensors


def fetch_later(tensor: paddle.Tensor) -> Callable[[], np.ndarray]:
    """Start to copy a small tensor to the host; return a function that waits for the copy and returns it.

    Called a step later it does not wait, or only for that step: the device has the next one to do meanwhile.
    """
    if not is_asynchronous():
        return tensor.numpy
    pinned = tensor.to(paddle.CUDAPinnedPlace(), blocking=False)
    event = _record_event()

    def fetch() -> np.ndarray:
        event.synchronize()
        return np.asarray(pinned.numpy())

    return fetch


def _record_event() -> Any:
    event = paddle.device.Event()
    event.record()
    return event
