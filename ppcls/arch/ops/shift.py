"""The shift of cycle fully-connected layers: each channel reads a neighbour's value."""

from __future__ import annotations

from typing import Any, List, NamedTuple, Tuple

import numpy as np
import paddle
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.memory import empty
from ppcls.arch.ops.onednn import FLOAT_BYTES, Layout


class Cycle(NamedTuple):
    """How channels are shifted: along which axis of a map (1: height, 2: width), cycling through how many positions."""

    axis: int
    kernel_size: int


def cycle_shift(x: paddle.Tensor, axis: int, kernel_size: int) -> paddle.Tensor:
    """Return [B, H, W, C] whose channel i at n is ``x`` at n + (i + k // 2) % k - k // 2 along ``axis``, or 0 outside.

    Args:
        axis: 1 to shift along the height, 2 along the width.
        kernel_size: k, the number of positions that the channels cycle through.

    Source: https://arxiv.org/abs/2107.10224, section 3.2.
    """
    if not uses_onednn(x) or x.ndim != 4 or axis not in (1, 2):
        return _plain(x, axis, kernel_size)
    return _CycleShift.apply(contiguous(x), axis, kernel_size)


def _plain(x: paddle.Tensor, axis: int, kernel_size: int) -> paddle.Tensor:
    reach = kernel_size // 2
    size = x.shape[axis] if paddle.in_dynamic_mode() else paddle.shape(x)[axis]
    residue = paddle.arange(x.shape[-1]) % kernel_size
    source = paddle.arange(size).reshape([-1] + [1] * (3 - axis)) + (residue + reach) % kernel_size - reach
    # Not by padding, concatenation or slices: on channels-last maps, Paddle Inference's (oneDNN) fail, and the backward
    # passes of slices and of gathered channels take ten times as long.
    shifted = x
    for r in range(1, kernel_size):
        shifted = paddle.where(residue == r, paddle.roll(x, reach - (r + reach) % kernel_size, axis), shifted)
    return paddle.where((source >= 0) & (source < size), shifted, paddle.zeros_like(x))


class _CycleShift(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, axis: int, kernel_size: int) -> Any:
        ctx.arguments = (axis, kernel_size)
        return shifted(x, axis, kernel_size)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        axis, kernel_size = ctx.arguments
        return shifted(contiguous(dy), axis, kernel_size, sign=-1)


def shifted(x: paddle.Tensor, axis: int, kernel_size: int, sign: int = 1) -> paddle.Tensor:
    """Return the channels of a contiguous map read at ``sign`` times their offset."""
    y = empty(x.shape)
    for clear, destination in _clearings(tuple(x.shape), axis, kernel_size // 2):
        clear.primitive(clear.zeros.ctypes.data, y.data_ptr() + destination)
    for copy, source, destination in _copies(tuple(x.shape), axis, kernel_size, sign):
        copy(x.data_ptr() + source, y.data_ptr() + destination)
    return y


class _Clearing(NamedTuple):
    """A copy of zeros to one end of a map, where some channels have no neighbour."""

    primitive: onednn.Primitive
    zeros: np.ndarray


@onednn.cached
def _clearings(shape: Tuple[int, ...], axis: int, reach: int) -> List[Tuple[_Clearing, int]]:
    """Return what clears both ends of a map along an axis, each with the offset in bytes of what it writes."""
    if not reach:
        return []
    sizes, strides = list(shape), onednn.row_major(shape)
    sizes[axis] = min(reach, shape[axis])
    zeros = np.zeros(sizes, np.float32)
    clearing = _Clearing(onednn.reorder(Layout(sizes), Layout(sizes, strides)), zeros)
    return [(clearing, 0), (clearing, (shape[axis] - sizes[axis]) * strides[axis] * FLOAT_BYTES)]


@onednn.cached
def _copies(shape: Tuple[int, ...], axis: int, kernel_size: int, sign: int) -> List[Tuple[onednn.Primitive, int, int]]:
    """Return copies of every k-th channel, each with the offsets in bytes of what it reads and writes."""
    channels, strides = shape[3], onednn.row_major(shape)
    cycles = channels // kernel_size
    parts = [(residue, cycles) for residue in range(kernel_size) if cycles]
    parts += [(channel, 1) for channel in range(cycles * kernel_size, channels)]
    copies = []
    for first, count in parts:
        offset = sign * ((first + kernel_size // 2) % kernel_size - kernel_size // 2)
        sizes = [*shape[:3], count]
        sizes[axis] -= abs(offset)
        if sizes[axis] <= 0:
            continue
        layout = Layout(sizes, [*strides[:3], kernel_size])
        skipped = abs(offset) * strides[axis]
        source, destination = (skipped, 0) if offset > 0 else (0, skipped)
        copies.append(
            (onednn.reorder(layout, layout), (source + first) * FLOAT_BYTES, (destination + first) * FLOAT_BYTES)
        )
    return copies
