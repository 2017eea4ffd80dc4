"""Stochastic depth."""

from __future__ import annotations

import paddle
from paddle import nn

from ppcls.errors import ConfigError


class DropPath(nn.Layer):
    """Zeroes whole samples of a residual branch while training, and scales up the others; identity in evaluation.

    Source: https://arxiv.org/abs/1603.09382.

    Args:
        rate: probability that a sample's branch is dropped, from 0 to below 1.

    Raises:
        ConfigError: ``rate`` is out of range.
    """

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ConfigError(f"drop_path_rate: expected a number from 0 to below 1, got {rate!r}")
        self.rate = float(rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the branch ``x``, [B, ...], with a share ``rate`` of the samples zeroed on average."""
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        kept = paddle.bernoulli(paddle.full([x.shape[0]] + [1] * (x.ndim - 1), keep))
        return x * (kept / keep).astype(x.dtype)

    def extra_repr(self) -> str:
        """Return the rate, for printing."""
        return f"rate={self.rate}"
