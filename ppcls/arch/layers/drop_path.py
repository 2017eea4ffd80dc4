"""Stochastic depth: https://arxiv.org/abs/1603.09382."""

from __future__ import annotations

from typing import List, Optional, Sequence

import paddle
from paddle import nn

from ppcls.arch import ops
from ppcls.arch.layers.modules import may_fuse
from ppcls.registry.checks import require_choice, require_fraction


class DropPath(nn.Layer):
    """Drops a residual branch for some samples of a training batch, and scales it for the others.

    The expected value is the branch itself, which evaluation leaves as it is.

    Args:
        rate: probability that a sample loses the branch.

    Raises:
        ConfigError: ``rate`` is not within 0 <= rate < 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = require_fraction("drop_path_rate", rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the branch [B, ...], or zeros where it is dropped."""
        scale = self.scale(x)
        return x if scale is None else x * scale

    def scale(self, x: paddle.Tensor) -> Optional[paddle.Tensor]:
        """Return the factor of each sample, [B, 1, ..., 1], or None for 1."""
        if not self.rate or not self.training:
            return None
        keep = 1.0 - self.rate
        mask = paddle.rand([x.shape[0]] + [1] * (x.ndim - 1)) < keep
        return mask.astype(x.dtype) / keep

    def extra_repr(self) -> str:
        """Return the rate, for printing."""
        return f"rate={self.rate:g}"


def add_branch(x: paddle.Tensor, branch: paddle.Tensor, drop_path: nn.Layer) -> paddle.Tensor:
    """Return x plus what ``drop_path`` leaves of the branch, both [B, ...]."""
    if isinstance(drop_path, DropPath) and may_fuse(drop_path, DropPath):
        return ops.residual_sum(x, branch, drop_path.scale(branch))
    return ops.residual_sum(x, drop_path(branch))


def drop_path_rates(rate: float, depth: int, schedule: str = "linear") -> List[float]:
    """Return the rates of ``depth`` blocks.

    Args:
        schedule: "linear" for 0 in the first block to ``rate`` in the last, "constant" for ``rate`` in all of them.

    Raises:
        ConfigError: another schedule, or ``rate`` is not within 0 <= rate < 1.
    """
    require_choice("drop_path_schedule", schedule, ("linear", "constant"))
    require_fraction("drop_path_rate", rate)
    return [rate if schedule == "constant" else rate * index / max(depth - 1, 1) for index in range(depth)]


def staged_drop_path_rates(rate: float, depths: Sequence[int], schedule: str) -> List[List[float]]:
    """Return the rates of each stage's blocks.

    Args:
        schedule: "stage" ramps from 0 to ``rate`` within every stage, "linear" once over all blocks.

    Raises:
        ConfigError: another schedule, or ``rate`` is not within 0 <= rate < 1.
    """
    require_choice("drop_path_schedule", schedule, ("stage", "linear"))
    if schedule == "stage":
        return [drop_path_rates(rate, depth) for depth in depths]
    rates = iter(drop_path_rates(rate, sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]
