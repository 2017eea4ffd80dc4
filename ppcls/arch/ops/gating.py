"""gMLP's spatial gating unit."""

from __future__ import annotations

from typing import Any, NamedTuple, Tuple

import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import layer_normalization
from ppcls.arch.ops.dispatch import contiguous, in_bfloat16, uses_onednn
from ppcls.arch.ops.elementwise import binary
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.onednn import BINARY_ADD, BINARY_MUL, FLOAT_BYTES, row_major
from ppcls.arch.ops.products import Matmul, column_sums, ones, operand


class GatingParameters(NamedTuple):
    """Of the norm over the channels [C] and of the projection over the tokens [n, n] and [n]."""

    norm_weight: paddle.Tensor
    norm_bias: paddle.Tensor
    weight: paddle.Tensor
    bias: paddle.Tensor


def spatial_gating(z: paddle.Tensor, parameters: GatingParameters, epsilon: float) -> paddle.Tensor:
    """Return u * (W^T norm(v) + b) of z = [u, v], [2, B, n, C] -> [B, n, C].

    Args:
        epsilon: of the norm.

    Source: https://arxiv.org/abs/2105.08050, section 2.1.
    """
    _, _, tokens, channels = z.shape
    sizes = [[channels], [channels], [tokens, tokens], [tokens]]
    if not uses_onednn(z, *parameters) or [p.shape for p in parameters] != sizes or len(z) != 2:
        return _plain(z[0], z[1], *parameters, epsilon)
    return _SpatialGating.apply(contiguous(z), *map(contiguous, parameters), epsilon, in_bfloat16())


def _plain(u: Any, v: Any, norm_weight: Any, norm_bias: Any, weight: Any, bias: Any, epsilon: float) -> paddle.Tensor:
    v = F.layer_norm(v, v.shape[-1:], norm_weight, norm_bias, epsilon)
    return u * (paddle.matmul(weight, v, transpose_x=True) + bias.unsqueeze(-1))


class _SpatialGating(PyLayer):
    @staticmethod
    def forward(ctx: Any, z: Any, *rest: Any) -> Any:
        norm_weight, norm_bias, weight, bias, epsilon, half = rest
        batch, tokens, channels = shape = tuple(z.shape[1:])
        u, v = _halves(z)
        normed, gate, y = (empty(shape) for _ in range(3))
        mean, variance = empty([batch * tokens]), empty([batch * tokens])
        norm = layer_normalization.primitives(batch * tokens, channels, epsilon)[0]
        norm(v, *(t.data_ptr() for t in (normed, mean, variance, norm_weight, norm_bias)))
        kept, kept_weight = operand(normed, half), operand(weight, half)
        project = Matmul(tokens, tokens, channels, (0, 1, tokens), tuple(row_major(shape)), half, None, (batch,))
        project(kept_weight.data_ptr(), kept.data_ptr(), gate.data_ptr())
        binary(BINARY_ADD, shape, (1, tokens, 1))(gate.data_ptr(), bias.data_ptr(), gate.data_ptr())
        binary(BINARY_MUL, shape, shape)(u, gate.data_ptr(), y.data_ptr())
        ctx.edges = Edges(z, norm_weight, norm_bias, weight, bias)
        ctx.kept = Kept(z, norm_weight, norm_bias, gate, kept, kept_weight, mean, variance)
        ctx.settings = (shape, epsilon, half)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        shape, epsilon, half = ctx.settings
        z, norm_weight, norm_bias, gate, normed, weight, mean, variance = ctx.kept.get()
        batch, tokens, channels = shape
        u, v = _halves(z)
        dy, dz, dgate, dnormed = contiguous(dy), empty(z.shape), empty(shape), empty(shape)
        du, dv = _halves(dz)
        binary(BINARY_MUL, shape, shape)(dy.data_ptr(), gate.data_ptr(), du)
        binary(BINARY_MUL, shape, shape)(dy.data_ptr(), u, dgate.data_ptr())
        kept_dgate = operand(dgate, half)
        project = Matmul(tokens, tokens, channels, (0, tokens, 1), tuple(row_major(shape)), half, None, (batch,))
        project(weight.data_ptr(), kept_dgate.data_ptr(), dnormed.data_ptr())
        dweight, dbias = _projection_gradients(shape, normed, kept_dgate, dgate, half)
        dnorm_weight, dnorm_bias = empty([channels]), empty([channels])
        backward = layer_normalization.primitives(batch * tokens, channels, epsilon)[1]
        arguments = (mean, variance, norm_weight, norm_bias, dnorm_weight, dnorm_bias)
        backward(v, dnormed.data_ptr(), dv, *(t.data_ptr() for t in arguments))
        return ctx.edges.select(dz, dnorm_weight, dnorm_bias, dweight, dbias)


def _halves(z: paddle.Tensor) -> Tuple[int, int]:
    """Return the addresses of u and v of a contiguous z = [u, v], [2, B, n, C]."""
    return z.data_ptr(), z.data_ptr() + elements(z) // 2 * FLOAT_BYTES


def _projection_gradients(shape: Any, normed: Any, kept_dgate: Any, dgate: Any, half: bool) -> Tuple[Any, Any]:
    """Return the gradients by the projection's weight [n, n] and bias [n]."""
    batch, tokens, channels = shape
    strides = tuple(row_major(shape))
    transposed = (strides[0], 1, channels)
    products, sums = empty([batch, tokens, tokens]), empty([batch * tokens])
    product = Matmul(tokens, channels, tokens, strides, transposed, half, None, (batch,))
    product(normed.data_ptr(), kept_dgate.data_ptr(), products.data_ptr())
    total = Matmul(batch * tokens, channels, 1, (channels, 1), (1, 1))
    total(dgate.data_ptr(), ones(channels).data_ptr(), sums.data_ptr())
    return column_sums(products, tokens * tokens).reshape([tokens, tokens]), sums.reshape([batch, tokens]).sum(0)
