"""Layer normalization over the last axis."""

from __future__ import annotations

import ctypes
from typing import Any, Tuple

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.onednn import (
    DIFF_DST,
    DIFF_SCALE,
    DIFF_SHIFT,
    DIFF_SRC,
    DST,
    MEAN,
    SCALE,
    SHIFT,
    SRC,
    VARIANCE,
    Layout,
)


def layer_norm(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, epsilon: float) -> paddle.Tensor:
    """Return (x - mean) / sqrt(variance + epsilon) * weight + bias over the last axis; keeps the shape [..., C].

    Args:
        weight: [C].
        bias: [C].

    Source: https://arxiv.org/abs/1607.06450.
    """
    if not uses_onednn(x, weight, bias) or not x.shape[-1:] == weight.shape == bias.shape:
        return F.layer_norm(x, x.shape[-1:], weight, bias, epsilon)
    return _LayerNorm.apply(contiguous(x), contiguous(weight), contiguous(bias), epsilon)


class _LayerNorm(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, epsilon: float) -> Any:
        rows, y = elements(x) // x.shape[-1], empty(x.shape)
        mean, variance = empty([rows]), empty([rows])
        forward = primitives(rows, x.shape[-1], epsilon)[0]
        forward(*(t.data_ptr() for t in (x, y, mean, variance, weight, bias)))
        ctx.kept = Kept(x, weight, bias, mean, variance)
        ctx.edges = Edges(x, weight, bias)
        ctx.epsilon = epsilon
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight, bias, mean, variance = ctx.kept.get()
        dy, dx = contiguous(dy), empty(x.shape)
        dweight, dbias = empty(weight.shape), empty(bias.shape)
        backward = primitives(elements(mean), x.shape[-1], ctx.epsilon)[1]
        backward(*(t.data_ptr() for t in (x, dy, dx, mean, variance, weight, bias, dweight, dbias)))
        return ctx.edges.select(dx, dweight, dbias)


@onednn.cached
def primitives(rows: int, channels: int, epsilon: float) -> Tuple[onednn.Primitive, onednn.Primitive]:
    """Return forward(x, y, mean, variance, weight, bias) and backward(x, dy, dx, mean, ..., bias, dweight, dbias).

    All memory is contiguous: the library's kernels do not heed the distance between rows.
    """
    x, row, channel = Layout((rows, channels)), Layout((rows,)), Layout((channels,))
    settings = (row, ctypes.c_float(epsilon), onednn.USE_SCALE_AND_SHIFT)
    forward = onednn.Descriptor("layer_normalization_forward", onednn.FORWARD_TRAINING, x, x, *settings)
    backward = onednn.Descriptor("layer_normalization_backward", onednn.BACKWARD, x, x, x, *settings, forward)
    statistics = {MEAN: row, VARIANCE: row, SCALE: channel, SHIFT: channel}
    return (
        onednn.Primitive(forward, {SRC: x, DST: x, **statistics}),
        onednn.Primitive(
            backward, {SRC: x, DIFF_DST: x, DIFF_SRC: x, **statistics, DIFF_SCALE: channel, DIFF_SHIFT: channel}
        ),
    )
