"""Projections: matrix products over the last axis, in float32 or on inputs rounded to bfloat16."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops.dispatch import contiguous, in_bfloat16, uses_onednn
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.products import Matmul, column_sums, operand
from ppcls.arch.ops.shift import Cycle, cycle_shift, shifted


def linear(
    x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor] = None, transposed: bool = False
) -> paddle.Tensor:
    """Return x W + b, [..., in] -> [..., out].

    Args:
        weight: [in, out], or [out, in] as of a convolution if ``transposed``.
        bias: [out].
    """
    sizes = weight.shape[::-1] if transposed else weight.shape
    fits = x.shape[-1:] == sizes[:1] and weight.ndim == 2 and (bias is None or bias.shape == sizes[1:])
    if not uses_onednn(x, weight, bias) or not fits:
        return _plain(x, weight, bias, transposed)
    bias = None if bias is None else contiguous(bias)
    return _Linear.apply(contiguous(x), contiguous(weight), bias, transposed, in_bfloat16(), None)


def cycle_linear(x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor], cycle: Cycle) -> paddle.Tensor:
    """Return the projection of the map that ``cycle_shift`` returns, [B, H, W, in] -> [B, H, W, out].

    The shifted map is not kept in memory.

    Args:
        weight: [out, in].
        bias: [out].

    Source: https://arxiv.org/abs/2107.10224, section 3.2.
    """
    fits = x.ndim == 4 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
    if not uses_onednn(x, weight, bias) or not fits or (bias is not None and bias.shape != weight.shape[:1]):
        return linear(cycle_shift(x, *cycle), weight, bias, transposed=True)
    bias = None if bias is None else contiguous(bias)
    return _Linear.apply(contiguous(x), contiguous(weight), bias, True, in_bfloat16(), cycle)


def _plain(x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor], transposed: bool) -> paddle.Tensor:
    if not transposed:
        return F.linear(x, weight, bias)
    y = paddle.matmul(x, weight, transpose_y=True)
    return y if bias is None else y + bias


class _Sizes(NamedTuple):
    """Of a projection of ``rows`` vectors; whether the weight is [out, in], and whether the factors are rounded."""

    rows: int
    inner: int
    outer: int
    transposed: bool
    half: bool


class _Linear(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, *settings: Any) -> Any:
        transposed, half, cycle = settings
        inner, outer = weight.shape[::-1] if transposed else weight.shape
        sizes = _Sizes(elements(x) // inner, inner, outer, transposed, half)
        y = empty([*x.shape[:-1], outer])
        x_read, weight_read = operand(x if cycle is None else shifted(x, *cycle), half), operand(weight, half)
        addresses = [t.data_ptr() for t in (x_read, weight_read, y)]
        _product(sizes, bias is not None)(*addresses, *([] if bias is None else [bias.data_ptr()]))
        ctx.edges, ctx.has_bias = Edges(x, weight, bias), bias is not None
        # Not the shifted map, which would take memory: x is shifted again in the backward pass.
        ctx.kept = Kept(x_read if half or cycle is None else x, weight_read)
        ctx.sizes, ctx.cycle, ctx.shapes = sizes, cycle, (x.shape, weight.shape)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x_read, weight_read), sizes, cycle = ctx.kept.get(), ctx.sizes, ctx.cycle
        x_wanted, weight_wanted, bias_wanted = ctx.edges.wanted()
        dy = contiguous(dy)
        dy_read = operand(dy, sizes.half)
        dx = dweight = None
        if x_wanted:
            dx = empty(ctx.shapes[0])
            _product_by_input(sizes)(dy_read.data_ptr(), weight_read.data_ptr(), dx.data_ptr())
            dx = dx if cycle is None else shifted(dx, cycle.axis, cycle.kernel_size, -1)
        if weight_wanted:
            dweight = empty(ctx.shapes[1])
            if cycle is not None and not sizes.half:
                x_read = shifted(x_read, *cycle)
            factors = (dy_read, x_read) if sizes.transposed else (x_read, dy_read)
            _product_by_weight(sizes)(*(t.data_ptr() for t in factors), dweight.data_ptr())
        if not ctx.has_bias:
            return dx, dweight
        return dx, dweight, column_sums(dy, sizes.outer) if bias_wanted else None


def _product(sizes: _Sizes, bias: bool) -> Matmul:
    """Return y = x W + b, called with the addresses of x, W, y and b."""
    rows, inner, outer, transposed, half = sizes
    strides = (1, inner) if transposed else (outer, 1)
    return Matmul(rows, inner, outer, (inner, 1), strides, half, (1, outer) if bias else None)


def _product_by_input(sizes: _Sizes) -> Matmul:
    """Return dx = dy W^T, called with the addresses of dy, W and dx."""
    rows, inner, outer, transposed, half = sizes
    return Matmul(rows, outer, inner, (outer, 1), (inner, 1) if transposed else (1, outer), half)


def _product_by_weight(sizes: _Sizes) -> Matmul:
    """Return dW = x^T dy, called with the addresses of x, dy and dW, or dW^T = dy^T x with those of dy, x and dW^T."""
    rows, inner, outer, transposed, half = sizes
    if transposed:
        return Matmul(outer, rows, inner, (1, outer), (inner, 1), half)
    return Matmul(inner, rows, outer, (1, inner), (outer, 1), half)
