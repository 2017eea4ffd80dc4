"""Sums of a map and a residual branch."""

from __future__ import annotations

from typing import Any, Optional

import paddle
from paddle.autograd import PyLayer

from ppcls.arch.ops.dispatch import contiguous, uses_onednn
from ppcls.arch.ops.elementwise import add_to, binary, copy
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.onednn import BINARY_ADD, BINARY_MUL


def residual_sum(x: paddle.Tensor, branch: paddle.Tensor, scale: Optional[paddle.Tensor] = None) -> paddle.Tensor:
    """Return x + scale * branch, [B, ...] -> [B, ...].

    Args:
        scale: of each sample's branch, [B, 1, ..., 1]; it gets no gradient. None for 1.
    """
    if not uses_onednn(x, branch, scale) or not _fit(x, branch, scale):
        return x + (branch if scale is None else branch * scale)
    return _ResidualSum.apply(contiguous(x), contiguous(branch), None if scale is None else scale.detach())


def _fit(x: paddle.Tensor, branch: paddle.Tensor, scale: Optional[paddle.Tensor]) -> bool:
    return x.shape == branch.shape and (scale is None or scale.shape == [len(x)] + [1] * (x.ndim - 1))


class _ResidualSum(PyLayer):
    """In memory of the pool, because what Paddle allocates for its own large results may grow with each step."""

    @staticmethod
    def forward(ctx: Any, x: Any, branch: Any, scale: Any) -> Any:
        if scale is None:
            y = empty(x.shape)
            binary(BINARY_ADD, (elements(x),), (elements(x),))(x.data_ptr(), branch.data_ptr(), y.data_ptr())
        else:
            y = _scaled(branch, scale)
            add_to(y, x)
        ctx.edges, ctx.kept = Edges(x, branch), Kept(scale)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (scale,), dy = ctx.kept.get(), contiguous(dy)
        # Copies, because Paddle adds other gradients to them in place, while that of the sum may still be needed.
        if scale is None:
            return ctx.edges.select(copy(dy), copy(dy))
        return (*ctx.edges.select(copy(dy), _scaled(dy, scale)), None)


def _scaled(x: paddle.Tensor, scale: paddle.Tensor) -> paddle.Tensor:
    batch, y = len(x), empty(x.shape)
    multiply = binary(BINARY_MUL, (batch, elements(x) // batch), (batch, 1))
    multiply(x.data_ptr(), scale.data_ptr(), y.data_ptr())
    return y
