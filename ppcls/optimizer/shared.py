"""What all optimizers share: the registry, clipping, and checks of their arguments."""

from __future__ import annotations

from typing import Any, Optional

from paddle import nn

from ppcls.config.registry import Registry
from ppcls.errors import ConfigError
from ppcls.optimizer.decay import require_coefficient

OPTIMIZERS = Registry(
    "optimizer",
    trial=lambda: {"model": nn.Linear(1, 1), "learning_rate": 0.1},
    planned=("AdamWDL",),
)
PROVIDED = ("model", "learning_rate")


def clip(clip_norm: Optional[float], clip_value: Optional[float]) -> Any:
    """Return Paddle's clipping of all gradients' norm together, or of each value; None for neither.

    Raises:
        ConfigError: a bound is not positive, or both are given.
    """
    if clip_norm is not None and clip_value is not None:
        raise ConfigError("clip_norm: give it or clip_value, not both")
    for name, bound in (("clip_norm", clip_norm), ("clip_value", clip_value)):
        if bound is not None and not require_coefficient(name, bound) > 0:
            raise ConfigError(f"{name}: expected a positive number, got {bound}; leave it out for no clipping")
    if clip_value is not None:
        return nn.ClipGradByValue(float(clip_value))
    return nn.ClipGradByGlobalNorm(float(clip_norm)) if clip_norm is not None else None


def require_fractions(**values: float) -> None:
    """Check decay rates.

    Raises:
        ConfigError: one is not at least 0 and below 1.
    """
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ConfigError(f"{name}: expected a number of at least 0 and below 1, got {value}")
