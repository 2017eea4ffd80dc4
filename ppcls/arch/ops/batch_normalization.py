"""Batch normalization of channels-last maps."""

from __future__ import annotations

import ctypes
from typing import Any, Tuple

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.gradients import first_order_only, select, trainable
from ppcls.arch.ops.memory import empty
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
    channels_last,
)


def batch_norm(x: paddle.Tensor, norm: nn.BatchNorm2D) -> paddle.Tensor:
    """Return a channels-last map normalized per channel, [B, H, W, C] -> [B, H, W, C].

    In training the statistics are the batch's, and the running ones of ``norm`` follow them.

    Args:
        norm: holds weight, bias, running statistics, momentum and epsilon.

    Source: https://arxiv.org/abs/1502.03167.
    """
    weight, bias = norm.weight, norm.bias
    assert weight is not None and bias is not None
    fits = x.ndim == 4 and x.shape[-1:] == weight.shape == bias.shape
    if not norm.training or not uses_onednn(x, weight, bias) or not fits:
        return F.batch_norm(
            x,
            norm._mean,
            norm._variance,
            weight,
            bias,
            training=norm.training,
            momentum=norm._momentum,
            epsilon=norm._epsilon,
            data_format="NHWC",
        )
    y, mean, variance = _BatchNorm.apply(contiguous(x), contiguous(weight), contiguous(bias), norm._epsilon)
    with paddle.no_grad():  # as Paddle's operator: of the variance, too, the batch's own and not its unbiased estimate
        for running, batch in ((norm._mean, mean), (norm._variance, variance)):
            running.set_value(running * norm._momentum + batch * (1 - norm._momentum))
    return y


class _BatchNorm(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, epsilon: float) -> Any:
        y, mean, variance = empty(x.shape), empty(weight.shape), empty(weight.shape)
        forward = _primitives(*x.shape, epsilon)[0]
        forward(*(t.data_ptr() for t in (x, y, mean, variance, weight, bias)))
        ctx.save_for_backward(x, weight, bias, mean, variance)
        ctx.trainable = trainable(x, weight, bias)
        ctx.epsilon = epsilon
        ctx.mark_non_differentiable(mean, variance)
        return y, mean, variance

    @staticmethod
    def backward(ctx: Any, dy: Any, *_: Any) -> Any:
        x, weight, bias, mean, variance = ctx.saved_tensor()
        first_order_only()
        dy, dx = contiguous(dy), empty(x.shape)
        dweight, dbias = empty(weight.shape), empty(bias.shape)
        backward = _primitives(*x.shape, ctx.epsilon)[1]
        backward(*(t.data_ptr() for t in (x, dy, dx, mean, variance, weight, dweight, dbias)))
        return select(ctx.trainable, (x, weight, bias), (dx, dweight, dbias))


@onednn.cached
def _primitives(
    batch: int, height: int, width: int, channels: int, epsilon: float
) -> Tuple[onednn.Primitive, onednn.Primitive]:
    """Return forward(x, y, mean, variance, weight, bias) and backward(x, dy, dx, mean, ..., dweight, dbias)."""
    x, channel = channels_last((batch, height, width, channels)), Layout((channels,))
    settings = (ctypes.c_float(epsilon), onednn.USE_SCALE_AND_SHIFT)
    name = "batch_normalization"
    forward = onednn.Descriptor(name + "_forward", onednn.FORWARD_TRAINING, x, x, *settings)
    backward = onednn.Descriptor(name + "_backward", onednn.BACKWARD, x, x, x, *settings, forward)
    statistics = {MEAN: channel, VARIANCE: channel, SCALE: channel}
    return (
        onednn.Primitive(forward, {SRC: x, DST: x, **statistics, SHIFT: channel}),
        onednn.Primitive(
            backward,
            {SRC: x, DIFF_DST: x, DIFF_SRC: x, **statistics, DIFF_SCALE: channel, DIFF_SHIFT: channel},
        ),
    )
