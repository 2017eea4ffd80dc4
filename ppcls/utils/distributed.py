"""The one place that knows ranks: this process among those that ``paddle.distributed.launch`` started."""

from __future__ import annotations

import os


def rank() -> int:
    """Return this process's number, 0 when there is only one."""
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def world_size() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def local_size() -> int:
    """Return how many of them run on this machine."""
    return max(1, int(os.environ.get("PADDLE_LOCAL_SIZE") or world_size()))


def is_main() -> bool:
    """Return whether this process writes files and logs."""
    return rank() == 0
