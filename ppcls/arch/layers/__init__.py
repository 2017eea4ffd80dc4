"""Layers that the families share."""

from ppcls.arch.layers.basic import activation, batch_norm2d, conv2d, is_batch_norm_statistic, linear
from ppcls.arch.layers.checkpointing import checkpointed
from ppcls.arch.layers.cycle_fc import CycleFC
from ppcls.arch.layers.drop_path import DropPath, drop_path_rates, staged_drop_path_rates
from ppcls.arch.layers.initialization import TruncatedNormal
from ppcls.arch.layers.modules import LayerNorm, MaxPool2D, from_map, map_to_nhwc, nhwc_to_map, pooled, to_map
from ppcls.arch.layers.mlp import MLP, normal_linear

__all__ = [
    "MLP",
    "CycleFC",
    "DropPath",
    "TruncatedNormal",
    "LayerNorm",
    "MaxPool2D",
    "from_map",
    "map_to_nhwc",
    "nhwc_to_map",
    "pooled",
    "to_map",
    "activation",
    "batch_norm2d",
    "checkpointed",
    "conv2d",
    "drop_path_rates",
    "is_batch_norm_statistic",
    "linear",
    "normal_linear",
    "staged_drop_path_rates",
]
