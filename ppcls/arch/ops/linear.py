"""Projections: matrix products over the last axis, in float32 or on inputs rounded to bfloat16."""

from __future__ import annotations

from typing import NamedTuple, Optional

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, gradient_of, in_bfloat16, uses_onednn
from ppcls.arch.ops.onednn import BFLOAT16, BIAS, DST, FLOAT32, SRC, WEIGHTS, Layout


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
        y = paddle.empty([*x.shape[:-1], outer], "float32")
        plan = _forward(rows, inner, outer, transposed, bias is not None, half)
        kept, kept_weight = (rounded(x), rounded(weight)) if half else (x, weight)
        addresses = [kept.data_ptr(), kept_weight.data_ptr(), y.data_ptr()]
        plan(*addresses, *([] if bias is None else [bias.data_ptr()]))
        ctx.save_for_backward(kept, kept_weight)
        ctx.sizes = (rows, inner, outer, transposed, half)
        ctx.inputs = (x, weight, bias)
        return y

    @staticmethod
    def backward(ctx, dy):  # type: ignore[no-untyped-def]
        x, weight, bias = ctx.inputs
        rows, inner, outer, transposed, half = ctx.sizes
        if paddle.is_grad_enabled():
            return gradient_of(lambda *inputs: _plain(*inputs, transposed), (x, weight, bias), dy)
        dy = contiguous(dy)
        kept, kept_weight = ctx.saved_tensor()
        kept_dy = rounded(dy) if half else dy
        dx = dweight = None
        if not x.stop_gradient:
            dx = paddle.empty_like(x)
            _by_input(rows, inner, outer, transposed, half)(kept_dy.data_ptr(), kept_weight.data_ptr(), dx.data_ptr())
        if not weight.stop_gradient:
            dweight = paddle.empty_like(weight)
            operands = (kept_dy, kept) if transposed else (kept, kept_dy)
            _by_weight(rows, inner, outer, transposed, half)(*(t.data_ptr() for t in operands), dweight.data_ptr())
        if bias is None:
            return dx, dweight
        return dx, dweight, None if bias.stop_gradient else column_sums(dy.reshape([rows, outer]))


def column_sums(x: paddle.Tensor) -> paddle.Tensor:
    """Return the sums [N] over the rows of [M, N]: as a product, which takes a tenth of the time of Paddle's sum."""
    rows, columns = x.shape
    total = paddle.empty([columns], "float32")
    _matmul(1, rows, columns, (rows, 1), (columns, 1), False, False)(_ones(rows).data_ptr(), x.data_ptr(), total.data_ptr())
    return total


def rounded(x: paddle.Tensor) -> paddle.Tensor:
    """Return a copy of ``x`` in bfloat16."""
    copy = paddle.empty(x.shape, "bfloat16")
    _rounding(x.size)(x.data_ptr(), copy.data_ptr())
    return copy


@onednn.cached
def _rounding(size: int) -> onednn.Primitive:
    return onednn.reorder(Layout((size,)), Layout((size,), dtype=BFLOAT16))


@onednn.cached
def _ones(rows: int) -> paddle.Tensor:
    return paddle.ones([rows])


def _forward(rows, inner, outer, transposed, bias, half):  # type: ignore[no-untyped-def]
    return _matmul(rows, inner, outer, (inner, 1), (1, inner) if transposed else (outer, 1), bias, half)


def _by_input(rows, inner, outer, transposed, half):  # type: ignore[no-untyped-def]
    return _matmul(rows, outer, inner, (outer, 1), (inner, 1) if transposed else (1, outer), False, half)


def _by_weight(rows, inner, outer, transposed, half):  # type: ignore[no-untyped-def]
    if transposed:  # dy^T x, [out, in]
        return _matmul(outer, rows, inner, (1, outer), (inner, 1), False, half)
    return _matmul(inner, rows, outer, (1, inner), (outer, 1), False, half)


@onednn.cached
def _matmul(m, k, n, a_strides, b_strides, bias, half):  # type: ignore[no-untyped-def]
    dtype = BFLOAT16 if half else FLOAT32
    layouts = {
        SRC: Layout((m, k), a_strides, dtype),
        WEIGHTS: Layout((k, n), b_strides, dtype),
        DST: Layout((m, n)),
    }
    if bias:
        layouts[BIAS] = Layout((1, n))
    descriptor = onednn.Descriptor("matmul",
        layouts[SRC],
        layouts[WEIGHTS],
        layouts[BIAS] if bias else None,
        layouts[DST],
        None,
    )
    return onednn.Primitive(descriptor, layouts)
