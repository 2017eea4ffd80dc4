"""GELU and ReLU."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, Tuple

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.gradients import first_order_only
from ppcls.arch.ops.memory import empty
from ppcls.arch.ops.onednn import DIFF_DST, DIFF_SRC, DST, SRC, Layout


def gelu(x: paddle.Tensor) -> paddle.Tensor:
    """Return x * Phi(x), not its approximation by tanh; keeps the shape. Source: https://arxiv.org/abs/1606.08415."""
    return _activate(x, onednn.GELU_ERF, F.gelu)


def relu(x: paddle.Tensor) -> paddle.Tensor:
    """Return max(x, 0); keeps the shape."""
    return _activate(x, onednn.RELU, F.relu)


def _activate(x: paddle.Tensor, kind: int, plain: Callable[[paddle.Tensor], paddle.Tensor]) -> paddle.Tensor:
    if not uses_onednn(x):
        return plain(x)
    return _Activation.apply(contiguous(x), kind)


class _Activation(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, kind: int) -> Any:
        y = empty(x.shape)
        _primitives(x.size, kind)[0](x.data_ptr(), y.data_ptr())
        ctx.save_for_backward(x)
        ctx.kind = kind
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensor()
        first_order_only()
        dy, dx = contiguous(dy), empty(x.shape)
        _primitives(x.size, ctx.kind)[1](x.data_ptr(), dy.data_ptr(), dx.data_ptr())
        return dx


@onednn.cached
def _primitives(size: int, kind: int) -> Tuple[onednn.Primitive, onednn.Primitive]:
    """Return forward(x, y) and backward(x, dy, dx)."""
    x, zero = Layout((size,)), ctypes.c_float(0)
    arguments = (kind, x, x)
    forward = onednn.Descriptor("eltwise_forward", onednn.FORWARD_TRAINING, *arguments, zero, zero)
    backward = onednn.Descriptor("eltwise_backward", *arguments, x, zero, zero, forward)
    return onednn.Primitive(forward, {SRC: x, DST: x}), onednn.Primitive(backward, {SRC: x, DIFF_DST: x, DIFF_SRC: x})
