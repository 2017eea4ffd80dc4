"""Weighted sums of maps."""

from __future__ import annotations

import functools
import operator
from typing import Any, List, Sequence

import paddle
from paddle.autograd import PyLayer

from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.elementwise import binary
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.onednn import BINARY_MUL
from ppcls.arch.ops.products import Matmul, ones


def weighted_sum(maps: Sequence[paddle.Tensor], weights: Sequence[paddle.Tensor]) -> paddle.Tensor:
    """Return the sum of maps [B, H, W, C], each times its weights [B, 1, 1, C] of an image's channels."""
    if not uses_onednn(*maps, *weights) or not _fit(maps, weights):
        return _plain(maps, weights)
    return _WeightedSum.apply(*map(contiguous, maps), *map(contiguous, weights))


def _fit(maps: Sequence[paddle.Tensor], weights: Sequence[paddle.Tensor]) -> bool:
    shape = maps[0].shape
    of_channels = [shape[0], 1, 1, shape[-1]]
    return len(shape) == 4 and all(x.shape == shape for x in maps) and all(a.shape == of_channels for a in weights)


def _plain(maps: Sequence[paddle.Tensor], weights: Sequence[paddle.Tensor]) -> paddle.Tensor:
    # Expanded first, because Paddle's CPU kernels multiply equal shapes several times faster than they broadcast.
    products = [x * a.expand_as(x) for x, a in zip(maps, weights)]
    return functools.reduce(operator.add, products)


class _WeightedSum(PyLayer):
    @staticmethod
    def forward(ctx: Any, *maps_and_weights: Any) -> Any:
        count = len(maps_and_weights) // 2
        maps, weights = maps_and_weights[:count], maps_and_weights[count:]
        y = empty(maps[0].shape)
        for index, (x, a) in enumerate(zip(maps, weights)):
            _multiply(x.shape, index > 0)(x.data_ptr(), a.data_ptr(), y.data_ptr())
        ctx.kept = Kept(*maps_and_weights)
        ctx.edges = Edges(*maps_and_weights)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        inputs: List[Any] = list(ctx.kept.get())
        count, dy = len(inputs) // 2, contiguous(dy)
        dmaps = [empty(x.shape) for x in inputs[:count]]
        for a, dx in zip(inputs[count:], dmaps):
            _multiply(dy.shape)(dy.data_ptr(), a.data_ptr(), dx.data_ptr())
        return ctx.edges.select(*dmaps, *_weight_gradients(inputs[:count], dy))


def _weight_gradients(maps: Sequence[Any], dy: Any) -> List[Any]:
    """Return the sums [B, 1, 1, C] over the positions of each map times dy."""
    batch, height, width, channels = dy.shape
    positions = height * width
    product, totals = empty(dy.shape), [empty([batch, 1, 1, channels]) for _ in maps]
    multiply = binary(BINARY_MUL, (elements(dy),), (elements(dy),))
    add_up = Matmul(1, positions, channels, (0, positions, 1), (positions * channels, channels, 1), batch=(batch,))
    for x, total in zip(maps, totals):
        multiply(dy.data_ptr(), x.data_ptr(), product.data_ptr())
        add_up(ones(positions).data_ptr(), product.data_ptr(), total.data_ptr())
    return totals


def _multiply(shape: Sequence[int], accumulates: bool = False) -> Any:
    """Return a product of a map [B, H, W, C] and weights [B, C]."""
    batch, height, width, channels = shape
    return binary(BINARY_MUL, (batch, height * width, channels), (batch, 1, channels), accumulates)
