"""Stochastic depth: https://arxiv.org/abs/1603.09382."""

from __future__ import annotations

from typing import List, Sequence

import paddle
from paddle import nn

from ppcls.errors import ConfigError


class DropPath(nn.Layer):
    """Drops a residual branch for some samples of a training batch, and scales it for the others.

    The expectation is the branch itself; in evaluation it is passed on as it is.

    Args:
        rate: how likely a sample loses the branch.

    Raises:
        ConfigError: ``rate`` is not within 0 <= rate < 1.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = validate_rate("drop_path_rate", rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the branch [B, ...], or zeros where it is dropped."""
        if not self.rate or not self.training:
            return x
        keep = 1.0 - self.rate
        kept = paddle.rand([x.shape[0]] + [1] * (x.ndim - 1)) < keep
        return x * (kept.astype(x.dtype) / keep)

    def extra_repr(self) -> str:
        """Return the rate, for printing."""
        return f"rate={self.rate:g}"


def drop_path_rates(rate: float, depth: int, schedule: str = "linear") -> List[float]:
    """Return the rates of ``depth`` blocks.

    Args:
        schedule: "linear" for 0 in the first block to ``rate`` in the last, "constant" for ``rate`` in all of them.

    Raises:
        ConfigError: another schedule, or ``rate`` is not within 0 <= rate < 1.
    """
    if schedule not in ("linear", "constant"):
        raise ConfigError(f"drop_path_schedule: expected 'linear' or 'constant', got {schedule!r}")
    validate_rate("drop_path_rate", rate)
    return [rate if schedule == "constant" else rate * index / max(depth - 1, 1) for index in range(depth)]


def staged_drop_path_rates(rate: float, depths: Sequence[int], schedule: str) -> List[List[float]]:
    """Return the rates of each stage's blocks.

    Args:
        schedule: "stage" ramps from 0 to ``rate`` within every stage, "linear" once over all blocks.

    Raises:
        ConfigError: another schedule, or ``rate`` is not within 0 <= rate < 1.
    """
    if schedule == "stage":
        return [drop_path_rates(rate, depth) for depth in depths]
    if schedule != "linear":
        raise ConfigError(f"drop_path_schedule: expected 'stage' or 'linear', got {schedule!r}")
    rates = iter(drop_path_rates(rate, sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]


def validate_rate(name: str, rate: float) -> float:
    """Return ``rate``.

    Raises:
        ConfigError: it is no number within 0 <= rate < 1.
    """
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
        raise ConfigError(f"{name}: expected a number from 0 to below 1, got {rate!r}")
    return float(rate)
