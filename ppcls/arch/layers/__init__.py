"""Layers that the families share."""

from ppcls.arch.layers.basic import activation, batch_norm2d, conv2d, is_batch_norm_statistic, linear
from ppcls.arch.layers.checkpointing import checkpointed
from ppcls.arch.layers.cycle_fc import CycleFC
from ppcls.arch.layers.drop_path import DropPath, drop_path_rates, staged_drop_path_rates
from ppcls.arch.layers.initialization import TruncatedNormal
from ppcls.arch.layers.mlp import MLP, normal_linear
from ppcls.arch.layers.modules import (
    HalvesLinear,
    LayerNorm,
    MaxPool2D,
    from_map,
    has_hooks,
    is_channels_last,
    map_to_nhwc,
    nhwc_to_map,
    pooled,
    to_map,
)

__all__ = [
    "MLP",
    "CycleFC",
    "DropPath",
    "HalvesLinear",
    "LayerNorm",
    "MaxPool2D",
    "TruncatedNormal",
    "activation",
    "batch_norm2d",
    "checkpointed",
    "conv2d",
    "drop_path_rates",
    "from_map",
    "has_hooks",
    "is_batch_norm_statistic",
    "is_channels_last",
    "linear",
    "map_to_nhwc",
    "nhwc_to_map",
    "normal_linear",
    "pooled",
    "staged_drop_path_rates",
    "to_map",
]
