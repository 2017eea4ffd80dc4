"""Convolution, activation, batch normalization and residual sum in one operator.

One after another, four operators go over memory more often: of their gradients, one can be computed in the memory of
the next, and that of the residual added to the convolution's.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple

import paddle
from paddle import nn
from paddle.autograd import PyLayer

from ppcls.arch.ops import batch_normalization, conv
from ppcls.arch.ops.activation import KINDS, activate
from ppcls.arch.ops.conv import ConvShape
from ppcls.arch.ops.dispatch import contiguous
from ppcls.arch.ops.elementwise import activation, add_to
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.residual import residual_sum


class _Settings(NamedTuple):
    shape: ConvShape
    activation: int
    epsilon: float
    residual: bool


def conv_act_norm(
    x: paddle.Tensor, convolution: nn.Conv2D, act: str, norm: nn.BatchNorm2D, residual: bool = False
) -> paddle.Tensor:
    """Return BN(act(conv(x))) of a channels-last map, [B, H, W, C] -> [B, H', W', C'].

    Args:
        convolution: holds weight, bias, stride, padding and groups, as ``conv2d_nhwc`` takes them.
        act: "gelu" or "relu".
        norm: as of ``batch_norm``.
        residual: add ``x``, which must have the result's shape.

    Source: https://arxiv.org/abs/2201.09792, figure 2.
    """
    weight, bias = convolution.weight, convolution.bias
    geometry = (convolution._stride[0], convolution._updated_padding[0], convolution._groups)
    shape = ConvShape.of(x, weight, bias, *geometry)
    fits = conv.fits(shape, x, weight, bias) and batch_normalization.fits(shape.y, norm)
    if not fits or (residual and shape.x != shape.y):
        y = batch_normalization.batch_norm(activate(conv.conv2d_nhwc(x, weight, bias, *geometry), act), norm)
        return residual_sum(x, y) if residual else y
    settings = _Settings(shape, KINDS[act], norm._epsilon, residual)
    parameters = (weight, bias, *batch_normalization.scale_and_shift(norm))
    tensors = (None if t is None else contiguous(t) for t in (x, *parameters))
    statistics: List[paddle.Tensor] = []
    y = _ConvActNorm.apply(*tensors, settings, statistics)
    batch_normalization.follow(norm, *statistics)
    return y


class _ConvActNorm(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, *rest: Any) -> Any:
        weight, bias, scale, shift, settings, statistics = rest
        result, x_read = conv.forward(x, weight, bias, settings.shape)
        activated = empty(result.shape)
        activation(elements(result), settings.activation)[0](result.data_ptr(), activated.data_ptr())
        y, *batch = batch_normalization.forward(activated, scale, shift, settings.epsilon)
        statistics += batch
        if settings.residual:
            add_to(y, x)
        ctx.edges, ctx.settings = Edges(x, weight, bias, scale, shift), settings
        ctx.kept = Kept(x_read, result, activated, weight, *batch, scale)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        settings, dy = ctx.settings, contiguous(dy)
        x_read, result, activated, weight, *statistics = ctx.kept.get()
        wanted = ctx.edges.wanted()
        gradient, dscale, dshift = batch_normalization.backward(activated, dy, statistics, settings.epsilon)
        backward = activation(elements(result), settings.activation)[1]
        backward(result.data_ptr(), gradient.data_ptr(), gradient.data_ptr())
        dx, dweight, dbias = conv.backward(settings.shape, x_read, weight, gradient, wanted[:3])
        if dx is not None and settings.residual:
            add_to(dx, dy)
        others = (dscale if wanted[3] else None, dshift if wanted[4] else None)
        return (dx, dweight, dbias, *others) if settings.shape.bias else (dx, dweight, *others)
