"""Layers that the families share."""

from ppcls.arch.layers.basic import activation, batch_norm2d, conv2d, linear
from ppcls.arch.layers.checkpointing import checkpointed
from ppcls.arch.layers.drop_path import DropPath, checked_rate, drop_path_rates, staged_drop_path_rates
from ppcls.arch.layers.initialization import truncated_normal_

__all__ = [
    "DropPath",
    "activation",
    "batch_norm2d",
    "checked_rate",
    "checkpointed",
    "conv2d",
    "drop_path_rates",
    "linear",
    "staged_drop_path_rates",
    "truncated_normal_",
]
