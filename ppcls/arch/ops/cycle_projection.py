"""CycleMLP's fully-connected layer: a projection of shifted channels, which are not kept in memory."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import paddle
from paddle.autograd import PyLayer

from ppcls.arch.ops.dispatch import contiguous, in_bfloat16, uses_onednn
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import empty
from ppcls.arch.ops.products import column_sums, operand
from ppcls.arch.ops.projection import Sizes, linear, product, product_by_input, product_by_weight
from ppcls.arch.ops.shift import cycle_shift, shifted


class Cycle(NamedTuple):
    """How channels are shifted: along which axis of a map (1: height, 2: width), cycling through how many positions."""

    axis: int
    kernel_size: int


def cycle_linear(x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor], cycle: Cycle) -> paddle.Tensor:
    """Return the projection of the map that ``cycle_shift`` returns, [B, H, W, in] -> [B, H, W, out].

    Args:
        weight: [out, in].
        bias: [out].

    Source: https://arxiv.org/abs/2107.10224, section 3.2.
    """
    fits = x.ndim == 4 and weight.ndim == 2 and x.shape[-1] == weight.shape[1]
    if not uses_onednn(x, weight, bias) or not fits or (bias is not None and bias.shape != weight.shape[:1]):
        return linear(cycle_shift(x, *cycle), weight, bias, transposed=True)
    bias = None if bias is None else contiguous(bias)
    return _CycleLinear.apply(contiguous(x), contiguous(weight), bias, cycle, in_bfloat16())


class _CycleLinear(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, cycle: Cycle, half: bool) -> Any:
        outer, inner = weight.shape
        sizes = Sizes(x.size // inner, inner, outer, True, half)
        y = empty([*x.shape[:-1], outer])
        read, weight_read = operand(shifted(x, *cycle), half), operand(weight, half)
        addresses = [t.data_ptr() for t in (read, weight_read, y)]
        product(sizes, bias is not None)(*addresses, *([] if bias is None else [bias.data_ptr()]))
        ctx.edges, ctx.has_bias = Edges(x, weight, bias), bias is not None
        ctx.kept = Kept(read if half else x, weight_read)  # x is shifted again in the backward pass
        ctx.sizes, ctx.cycle, ctx.shapes = sizes, cycle, (x.shape, weight.shape)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x, weight), sizes, (axis, kernel_size) = ctx.kept.get(), ctx.sizes, ctx.cycle
        x_wanted, weight_wanted, bias_wanted = ctx.edges.wanted()
        dy = contiguous(dy)
        dy_read = operand(dy, sizes.half)
        dx = dweight = None
        if x_wanted:
            dshifted = empty(ctx.shapes[0])
            product_by_input(sizes)(dy_read.data_ptr(), weight.data_ptr(), dshifted.data_ptr())
            dx = shifted(dshifted, axis, kernel_size, -1)
        if weight_wanted:
            dweight = empty(ctx.shapes[1])
            read = x if sizes.half else shifted(x, axis, kernel_size)
            product_by_weight(sizes)(dy_read.data_ptr(), read.data_ptr(), dweight.data_ptr())
        if not ctx.has_bias:
            return dx, dweight
        return dx, dweight, column_sums(dy, sizes.outer) if bias_wanted else None
