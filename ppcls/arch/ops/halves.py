"""A projection whose result is used in two halves, as gMLP's gating does."""

from __future__ import annotations

from typing import Any, List

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops.dispatch import contiguous, in_bfloat16, uses_onednn
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.onednn import BFLOAT16_BYTES, FLOAT_BYTES
from ppcls.arch.ops.products import Matmul, operand, write_column_sums


def linear_halves(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor) -> paddle.Tensor:
    """Return x W + b, [B, n, in] -> [B, n, 2C], or its two halves one after the other, [2, B, n, C].

    The CPU kernels return the latter: other kernels are much slower on halves of rows than on contiguous memory.

    Args:
        weight: [in, 2C].
        bias: [2C].
    """
    fits = x.ndim == 3 and weight.shape == [x.shape[-1], len(bias)] and len(bias) % 2 == 0 and bias.ndim == 1
    if not uses_onednn(x, weight, bias) or not fits:
        return F.linear(x, weight, bias)
    return _LinearHalves.apply(contiguous(x), contiguous(weight), contiguous(bias), in_bfloat16())


class _LinearHalves(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, half: bool) -> Any:
        inner, channels = weight.shape[0], weight.shape[1] // 2
        rows = elements(x) // inner
        x_read, weight_read, y = operand(x, half), operand(weight, half), empty([2, *x.shape[:-1], channels])
        product = Matmul(rows, inner, channels, (inner, 1), (2 * channels, 1), half, (1, channels))
        weights = _halves(weight_read, channels, half)
        for part, biases, result in zip(weights, _halves(bias, channels), _halves(y, rows * channels)):
            product(x_read.data_ptr(), part, result, biases)
        ctx.edges = Edges(x, weight, bias)
        ctx.kept, ctx.sizes = Kept(x_read, weight_read), (rows, inner, channels, half)
        ctx.shapes = x.shape, weight.shape, bias.shape
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x_read, weight_read = ctx.kept.get()
        x_wanted, weight_wanted, bias_wanted = ctx.edges.wanted()
        rows, inner, channels, half = ctx.sizes
        dy = contiguous(dy)
        dy_read = operand(dy, half)
        halves = _halves(dy_read, rows * channels, half)
        dx = dweight = dbias = None
        if x_wanted:
            dx = empty(ctx.shapes[0])
            for index, (part, weights) in enumerate(zip(halves, _halves(weight_read, channels, half))):
                strides = (channels, 1), (1, 2 * channels)
                product = Matmul(rows, channels, inner, *strides, half, accumulates=index > 0)
                product(part, weights, dx.data_ptr())
        if weight_wanted:
            dweight = empty(ctx.shapes[1])
            strides = (1, inner), (channels, 1)
            product = Matmul(inner, rows, channels, *strides, half, c_strides=(2 * channels, 1))
            for part, result in zip(halves, _halves(dweight, channels)):
                product(x_read.data_ptr(), part, result)
        if bias_wanted:
            dbias = empty(ctx.shapes[2])
            for part, result in zip(_halves(dy, rows * channels), _halves(dbias, channels)):
                write_column_sums(part, rows, channels, result)
        return dx, dweight, dbias


def _halves(x: Any, distance: int, half: bool = False) -> List[int]:
    """Return the addresses of two halves; ``distance`` is between them in elements, which are bfloat16 if ``half``."""
    return [x.data_ptr(), x.data_ptr() + distance * (BFLOAT16_BYTES if half else FLOAT_BYTES)]
