"""Distributions that paddle has not, or not alike in all versions."""

from __future__ import annotations

import math

import paddle

_CUT_STD = 0.87962566103423978  # of a standard normal that is cut at -2 and 2


def truncated_normal_(parameter: paddle.Tensor, std: float) -> None:
    """Fill ``parameter`` from a normal distribution that is cut at two sigma and then has a deviation of ``std``.

    This is what JAX and timm use for LeCun's initialisation. ``paddle.nn.initializer.TruncatedNormal`` cuts at -2
    and 2 in paddle 3 and at two sigma in paddle 2, and compensates for neither.
    """
    inside = math.erf(math.sqrt(2))
    uniform = paddle.uniform(parameter.shape, min=-inside, max=inside)
    with paddle.no_grad():
        parameter.set_value(paddle.erfinv(uniform) * (math.sqrt(2) * std / _CUT_STD))
