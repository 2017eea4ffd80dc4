"""GELU."""

from __future__ import annotations

import ctypes
from typing import Any, Tuple

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, gradient_of, uses_onednn
from ppcls.arch.ops.onednn import DIFF_DST, DIFF_SRC, DST, SRC, Layout


def gelu(x: paddle.Tensor) -> paddle.Tensor:
    """Return x * Phi(x), not its approximation by tanh; keeps the shape. Source: https://arxiv.org/abs/1606.08415."""
    if not uses_onednn(x) or x.size == 0:
        return F.gelu(x)
    return _GELU.apply(contiguous(x))


class _GELU(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: paddle.Tensor) -> paddle.Tensor:
        y = paddle.empty_like(x)
        _primitives(x.size)[0](x.data_ptr(), y.data_ptr())
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx: Any, dy: paddle.Tensor) -> Any:
        (x,) = ctx.saved_tensor()
        if paddle.is_grad_enabled():
            return gradient_of(F.gelu, (x,), dy)[0]
        dy, dx = contiguous(dy), paddle.empty_like(x)
        _primitives(x.size)[1](x.data_ptr(), dy.data_ptr(), dx.data_ptr())
        return dx


@onednn.cached
def _primitives(size: int) -> Tuple[onednn.Primitive, onednn.Primitive]:
    """Return forward(x, y) and backward(x, dy, dx)."""
    x, zero = Layout((size,)), ctypes.c_float(0)
    arguments = (onednn.GELU_ERF, x, x)
    forward = onednn.Descriptor("eltwise_forward", onednn.FORWARD_TRAINING, *arguments, zero, zero)
    backward = onednn.Descriptor("eltwise_backward", *arguments, x, zero, zero, forward)
    return onednn.Primitive(forward, {SRC: x, DST: x}), onednn.Primitive(backward, {SRC: x, DIFF_DST: x, DIFF_SRC: x})
