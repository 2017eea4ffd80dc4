"""GELU and ReLU."""

from __future__ import annotations

from typing import Any, Callable, Dict

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.elementwise import activation
from ppcls.arch.ops.gradients import Kept
from ppcls.arch.ops.memory import elements, empty

KINDS = {"gelu": onednn.GELU_ERF, "relu": onednn.RELU}
_PLAIN: Dict[str, Callable[[paddle.Tensor], paddle.Tensor]] = {"gelu": F.gelu, "relu": F.relu}


def gelu(x: paddle.Tensor) -> paddle.Tensor:
    """Return x * Phi(x), not its approximation by tanh; keeps the shape. Source: https://arxiv.org/abs/1606.08415."""
    return activate(x, "gelu")


def relu(x: paddle.Tensor) -> paddle.Tensor:
    """Return max(x, 0); keeps the shape."""
    return activate(x, "relu")


def activate(x: paddle.Tensor, name: str) -> paddle.Tensor:
    """Return the activation of ``x`` that is called ``name`` in ``KINDS``; keeps the shape."""
    if not uses_onednn(x):
        return _PLAIN[name](x)
    return _Activation.apply(contiguous(x), KINDS[name])


class _Activation(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, kind: int) -> Any:
        y = empty(x.shape)
        activation(elements(x), kind)[0](x.data_ptr(), y.data_ptr())
        ctx.kept, ctx.kind = Kept(x), kind
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.kept.get()
        dy, dx = contiguous(dy), empty(x.shape)
        activation(elements(x), ctx.kind)[1](x.data_ptr(), dy.data_ptr(), dx.data_ptr())
        return dx
