"""Batch normalization of channels-last maps."""

from __future__ import annotations

import ctypes
from typing import Any, List, Sequence, Tuple

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.gradients import Edges, Kept
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

Tensors = Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]


def batch_norm(x: paddle.Tensor, norm: nn.BatchNorm2D) -> paddle.Tensor:
    """Return a channels-last map normalized per channel, [B, H, W, C] -> [B, H, W, C].

    In training the statistics are the batch's, and the running ones of ``norm`` follow them.

    Args:
        norm: holds weight, bias, running statistics, momentum and epsilon.

    Source: https://arxiv.org/abs/1502.03167.
    """
    if not uses_onednn(x) or not fits(x.shape, norm):
        return F.batch_norm(
            x,
            norm._mean,
            norm._variance,
            norm.weight,
            norm.bias,
            training=norm.training,
            momentum=norm._momentum,
            epsilon=norm._epsilon,
            data_format="NHWC",
            use_global_stats=norm._use_global_stats,
        )
    statistics: List[paddle.Tensor] = []
    y = _BatchNorm.apply(*map(contiguous, (x, *scale_and_shift(norm))), norm._epsilon, statistics)
    follow(norm, *statistics)
    return y


def fits(shape: Sequence[int], norm: nn.BatchNorm2D) -> bool:
    """Return whether the CPU kernels normalize a map: by the batch's statistics, with scale and shift by channel."""
    if norm.weight is None or norm.bias is None:
        return False
    weight, bias = scale_and_shift(norm)
    fits = len(shape) == 4 and [shape[-1]] == weight.shape == bias.shape
    return fits and norm.training and not norm._use_global_stats and uses_onednn(weight, bias)


def scale_and_shift(norm: nn.BatchNorm2D) -> Tuple[paddle.Tensor, paddle.Tensor]:
    """Return weight and bias, which a norm that ``fits`` has."""
    assert norm.weight is not None and norm.bias is not None
    return norm.weight, norm.bias


def follow(norm: nn.BatchNorm2D, mean: paddle.Tensor, variance: paddle.Tensor) -> None:
    """Move the running statistics towards the batch's: its own variance, not the unbiased one, as Paddle does."""
    with paddle.no_grad():
        for running, batch in ((norm._mean, mean), (norm._variance, variance)):
            running.set_value(running * norm._momentum + batch * (1 - norm._momentum))


class _BatchNorm(PyLayer):
    """Appends the batch's mean and variance to ``statistics``.

    They are no results: if one of these has no gradient (``mark_non_differentiable``), Paddle never frees what the
    operator keeps, unless the backward pass runs.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, epsilon: float, statistics: List[paddle.Tensor]) -> Any:
        y, mean, variance = forward(x, weight, bias, epsilon)
        statistics += (mean, variance)
        ctx.kept = Kept(x, weight, mean, variance)
        ctx.edges = Edges(x, weight, bias)
        ctx.epsilon = epsilon
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x, weight, mean, variance = ctx.kept.get()
        return ctx.edges.select(*backward(x, contiguous(dy), (mean, variance, weight), ctx.epsilon))


def forward(x: paddle.Tensor, weight: paddle.Tensor, bias: paddle.Tensor, epsilon: float) -> Tensors:
    """Return the normalized map, and the batch's mean and variance."""
    y, mean, variance = empty(x.shape), empty(weight.shape), empty(weight.shape)
    _primitives(*x.shape, epsilon)[0](*(t.data_ptr() for t in (x, y, mean, variance, weight, bias)))
    return y, mean, variance


def backward(x: paddle.Tensor, dy: paddle.Tensor, statistics: Sequence[paddle.Tensor], epsilon: float) -> Tensors:
    """Return the gradients by the map, by weight and bias.

    Args:
        statistics: mean, variance and weight.
    """
    dx, dweight, dbias = (empty(t.shape) for t in (x, statistics[-1], statistics[-1]))
    tensors = (x, dy, dx, *statistics, dweight, dbias)
    _primitives(*x.shape, epsilon)[1](*(t.data_ptr() for t in tensors))
    return dx, dweight, dbias


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
