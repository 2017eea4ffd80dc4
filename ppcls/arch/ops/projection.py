"""Projections: matrix products over the last axis, in float32 or on inputs rounded to bfloat16."""

from __future__ import annotations

from typing import Optional

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops.dispatch import contiguous, gradient_of, in_bfloat16, uses_onednn
from ppcls.arch.ops.memory import empty
from ppcls.arch.ops.products import column_sums, matmul, operand


def linear(
    x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor] = None, transposed: bool = False
) -> paddle.Tensor:
    """Return x W + b, [..., in] -> [..., out].

    Args:
        weight: [in, out], or [out, in] as of a convolution if ``transposed``.
        bias: [out].
    """
    if not uses_onednn(x) or x.size == 0:
        return _plain(x, weight, bias, transposed)
    return _Linear.apply(contiguous(x), weight, bias, transposed, in_bfloat16())


def _plain(
    x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor], transposed: bool
) -> paddle.Tensor:
    if not transposed:
        return F.linear(x, weight, bias)
    y = paddle.matmul(x, weight, transpose_y=True)
    return y if bias is None else y + bias


class _Linear(PyLayer):
    @staticmethod
    def forward(ctx, x, weight, bias, transposed, half):  # type: ignore[no-untyped-def]
        inner, outer = weight.shape[::-1] if transposed else weight.shape
        rows = x.size // inner
        y = empty([*x.shape[:-1], outer])
        plan = _forward(rows, inner, outer, transposed, bias is not None, half)
        kept, kept_weight = operand(x, half), operand(weight, half)
        addresses = [kept.data_ptr(), kept_weight.data_ptr(), y.data_ptr()]
        plan(*addresses, *([] if bias is None else [bias.data_ptr()]))
        ctx.operands = (kept, kept_weight)
        ctx.sizes = (rows, inner, outer, transposed, half)
        ctx.shape, ctx.parameters, ctx.x_needs_gradient = x.shape, (weight, bias), not x.stop_gradient
        return y

    @staticmethod
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        (x, kept_weight), (weight, bias) = ctx.operands, ctx.parameters
        rows, inner, outer, transposed, half = ctx.sizes
        if paddle.is_grad_enabled():
            return gradient_of(lambda *inputs: _plain(*inputs, transposed), (x, weight, bias), dy)
        dy = contiguous(dy)
        kept_dy = operand(dy, half)
        dx = dweight = None
        if ctx.x_needs_gradient:
            dx = empty(ctx.shape)
            _by_input(rows, inner, outer, transposed, half)(kept_dy.data_ptr(), kept_weight.data_ptr(), dx.data_ptr())
        if not weight.stop_gradient:
            dweight = empty(weight.shape)
            operands = (kept_dy, x) if transposed else (x, kept_dy)
            _by_weight(rows, inner, outer, transposed, half)(*(t.data_ptr() for t in operands), dweight.data_ptr())
        if bias is None:
            return dx, dweight
        return dx, dweight, None if bias.stop_gradient else column_sums(dy, outer)


def _forward(rows, inner, outer, transposed, bias, half):  # type: ignore[no-untyped-def]
    return matmul(rows, inner, outer, (inner, 1), (1, inner) if transposed else (outer, 1), half, (1, outer) if bias else None)


def _by_input(rows, inner, outer, transposed, half):  # type: ignore[no-untyped-def]
    return matmul(rows, outer, inner, (outer, 1), (inner, 1) if transposed else (1, outer), half)


def _by_weight(rows, inner, outer, transposed, half):  # type: ignore[no-untyped-def]
    if transposed:  # dy^T x, [out, in]
        return matmul(outer, rows, inner, (1, outer), (inner, 1), half)
    return matmul(inner, rows, outer, (1, inner), (outer, 1), half)
