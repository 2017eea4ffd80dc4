"""Optimizers and learning-rate schedules.

Names are imported on first use, so that a schedule can be plotted without Paddle.
"""

from typing import TYPE_CHECKING

from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.optimizer.build import OPTIMIZERS, build_optimizer
    from ppcls.optimizer.schedule import SCHEDULES, Schedule, build_schedule
    from ppcls.optimizer.state import load_optimizer_state, optimizer_state

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "Schedule",
    "build_optimizer",
    "build_schedule",
    "load_optimizer_state",
    "optimizer_state",
]
__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "OPTIMIZERS": "ppcls.optimizer.build",
        "SCHEDULES": "ppcls.optimizer.schedule",
        "Schedule": "ppcls.optimizer.schedule",
        "build_optimizer": "ppcls.optimizer.build",
        "build_schedule": "ppcls.optimizer.schedule",
        "load_optimizer_state": "ppcls.optimizer.state",
        "optimizer_state": "ppcls.optimizer.state",
    },
)
