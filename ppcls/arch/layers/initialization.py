"""Initialisers that Paddle lacks, or that differ between its versions."""

from __future__ import annotations

import math
from typing import Any

import paddle
from paddle.nn.initializer import Initializer

_CUT_STD = 0.87962566103423978  # standard deviation of a standard normal that is cut at -2 and 2


class TruncatedNormal(Initializer):
    """A normal distribution that is cut at two sigma, and that has a deviation of ``std`` after the cut.

    JAX and timm use it for LeCun's initialisation. ``paddle.nn.initializer.TruncatedNormal`` cuts at -2 and 2 in
    Paddle 3 and at two sigma in Paddle 2, and compensates for neither.
    """

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, param: paddle.Tensor, block: Any = None) -> None:
        """Fill ``param``."""
        bound = math.erf(math.sqrt(2))
        uniform = paddle.uniform(param.shape, min=-bound, max=bound)
        with paddle.no_grad():
            param.set_value(paddle.erfinv(uniform) * (math.sqrt(2) * self.std / _CUT_STD))
