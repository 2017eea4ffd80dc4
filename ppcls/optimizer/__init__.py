"""Optimizers and learning-rate schedules.

Names are imported on first use, so that a schedule can be plotted without Paddle.
"""

from importlib import import_module
from typing import Any, List

_MODULES = {
    "OPTIMIZERS": "build",
    "SCHEDULES": "schedule",
    "Schedule": "schedule",
    "build_optimizer": "build",
    "build_schedule": "schedule",
    "load_optimizer_state": "state",
    "optimizer_state": "state",
}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> List[str]:
    return sorted(_MODULES)
