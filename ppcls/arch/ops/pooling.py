"""Pooling of channels-last maps."""

from __future__ import annotations

from typing import Any, Tuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.memory import empty, empty_array
from ppcls.arch.ops.onednn import DIFF_DST, DIFF_SRC, DST, SRC, WORKSPACE, channels_last, dims
from ppcls.arch.ops.products import Matmul

Shape = Tuple[int, ...]


def spatial_mean(x: paddle.Tensor) -> paddle.Tensor:
    """Return the mean of a map over its positions, [B, H, W, C] -> [B, C]."""
    return _SpatialMean.apply(contiguous(x)) if uses_onednn(x) and x.ndim == 4 else x.mean([1, 2])


class _SpatialMean(PyLayer):
    """The mean as a product with a vector of 1 / (H W): Paddle's takes ten times as long backwards."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        batch, height, width, channels = x.shape
        positions = height * width
        y = empty([batch, channels])
        strides = (positions * channels, channels, 1)
        product = Matmul(1, positions, channels, (0, positions, 1), strides, False, None, (batch,))
        product(_weights(positions).data_ptr(), x.data_ptr(), y.data_ptr())
        ctx.shape = x.shape
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        batch, height, width, channels = ctx.shape
        positions = height * width
        dy, dx = contiguous(dy), empty(ctx.shape)
        product = Matmul(positions, 1, channels, (0, 1, 1), (channels, channels, 1), False, None, (batch,))
        product(_weights(positions).data_ptr(), dy.data_ptr(), dx.data_ptr())
        return dx


@onednn.cached
def _weights(positions: int) -> paddle.Tensor:
    return paddle.full([positions], 1 / positions, "float32")


def max_pool_nhwc(x: paddle.Tensor, kernel_size: int, stride: int, padding: int) -> paddle.Tensor:
    """Return the maximum over windows of a map, [B, H, W, C] -> [B, H', W', C]; padding counts as minus infinity."""
    numbers = all(isinstance(size, int) for size in (kernel_size, stride, padding))  # the plain path takes pairs, too
    fits = numbers and x.ndim == 4 and kernel_size <= min(x.shape[1:3]) + 2 * padding
    fits = fits and 0 <= padding <= kernel_size // 2
    if not uses_onednn(x) or not fits:
        return F.max_pool2d(x, kernel_size, stride, padding, data_format="NHWC")
    return _MaxPool.apply(contiguous(x), kernel_size, stride, padding)


class _MaxPool(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, kernel_size: int, stride: int, padding: int) -> Any:
        height, width = ((n + 2 * padding - kernel_size) // stride + 1 for n in x.shape[1:3])
        y = empty((x.shape[0], height, width, x.shape[3]))
        settings = (tuple(x.shape), tuple(y.shape), kernel_size, stride, padding)
        forward, _, bytes_of_positions = _max_pool(*settings)
        positions = empty_array([bytes_of_positions], np.uint8)  # of each maximum in its window
        forward(x.data_ptr(), y.data_ptr(), positions.ctypes.data)
        ctx.positions, ctx.settings = positions, settings
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        dy, dx = contiguous(dy), empty(ctx.settings[0])
        backward = _max_pool(*ctx.settings)[1]
        backward(dy.data_ptr(), dx.data_ptr(), ctx.positions.ctypes.data)
        return dx


@onednn.cached
def _max_pool(
    x_shape: Shape, y_shape: Shape, kernel_size: int, stride: int, padding: int
) -> Tuple[onednn.Primitive, onednn.Primitive, int]:
    """Return forward(x, y, positions), backward(dy, dx, positions), and how many bytes the positions take."""
    x, y = channels_last(x_shape), channels_last(y_shape)
    # The library wants the padding behind the map as far as a window reaches it.
    behind = [max(0, (n - 1) * stride + kernel_size - m - padding) for n, m in zip(y_shape[1:3], x_shape[1:3])]
    before = dims(padding, padding)
    geometry = (dims(stride, stride), dims(kernel_size, kernel_size), dims(0, 0), before, dims(*behind))
    arguments = (onednn.POOLING_MAX, x, y, *geometry)
    forward = onednn.Descriptor("pooling_forward", onednn.FORWARD_TRAINING, *arguments)
    backward = onednn.Descriptor("pooling_backward", *arguments, forward)
    return (
        onednn.Primitive(forward, {SRC: x, DST: y, WORKSPACE: None}),
        onednn.Primitive(backward, {DIFF_DST: y, DIFF_SRC: x, WORKSPACE: None}),
        forward.chosen_layout(WORKSPACE).size,
    )
