"""Parts of a model that training leaves as they are."""

from __future__ import annotations

import fnmatch
from typing import Dict, List, Sequence

import paddle

from ppcls.arch.layers import is_batch_norm_statistic
from ppcls.errors import ConfigError
from ppcls.registry import suggest


def freeze(model: paddle.nn.Layer, patterns: Sequence[str]) -> None:
    """Give the parameters below ``patterns`` no gradients, so that no optimizer touches them.

    Args:
        patterns: parts of the model by their dotted names ("stem", "stages.0"), or shell patterns of such names
            ("stages.*.blocks.0").

    Raises:
        ConfigError: a pattern means nothing in this model.
    """
    statistics = _statistics(model)
    names = [name for name, _ in model.named_parameters() if name not in statistics]
    for index, pattern in enumerate(patterns):
        if not any(_matches(name, pattern) for name in names):
            parts = sorted({name.split(".")[0] for name in names} | {".".join(name.split(".")[:2]) for name in names})
            raise ConfigError(f"Global.freeze[{index}]: this model has no part {pattern!r}{suggest(pattern, parts)}")
    for name, parameter in model.named_parameters():
        if _is_frozen(name, patterns):
            parameter.stop_gradient = True


def keep_frozen_in_eval(model: paddle.nn.Layer, patterns: Sequence[str]) -> None:
    """Put frozen parts into evaluation mode: their batch norms keep their statistics, and nothing is dropped there."""
    for name, layer in model.named_sublayers():
        if _is_frozen(name, patterns):
            layer.eval()


def count(model: paddle.nn.Layer) -> Dict[str, int]:
    """Return how many weights are "trainable" and how many "frozen"; statistics of batch norms are neither."""
    counts = {"trainable": 0, "frozen": 0}
    statistics = _statistics(model)
    for name, parameter in model.named_parameters():
        if name not in statistics:
            counts["frozen" if parameter.stop_gradient else "trainable"] += int(parameter.size)
    return counts


def _statistics(model: paddle.nn.Layer) -> List[str]:
    return [name for name, _ in model.named_parameters() if is_batch_norm_statistic(name)]


def _is_frozen(name: str, patterns: Sequence[str]) -> bool:
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    """Return whether a dotted name is what ``pattern`` means, or below it."""
    parts = name.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[:length]), pattern) for length in range(1, len(parts) + 1))
