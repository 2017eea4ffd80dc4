"""Layers that the families share."""

from ppcls.arch.layers.basic import activation, batch_norm2d, conv2d, is_batch_norm_statistic, linear
from ppcls.arch.layers.checkpointing import checkpointed
from ppcls.arch.layers.cycle_fc import CycleFC
from ppcls.arch.layers.drop_path import DropPath, add_branch, drop_path_rates, staged_drop_path_rates
from ppcls.arch.layers.initialization import TruncatedNormal
from ppcls.arch.layers.mlp import MLP, normal_linear
from ppcls.arch.layers.modules import (
    GELU,
    BatchNorm2D,
    Conv2D,
    LayerNorm,
    Linear,
    MaxPool2D,
    ReLU,
    call_on_map,
    from_map,
    is_channels_last,
    map_to_nhwc,
    may_fuse,
    nhwc_to_map,
    pooled,
    to_map,
    with_gradient_hooks,
)

__all__ = [
    "GELU",
    "MLP",
    "BatchNorm2D",
    "Conv2D",
    "CycleFC",
    "DropPath",
    "LayerNorm",
    "Linear",
    "MaxPool2D",
    "ReLU",
    "TruncatedNormal",
    "activation",
    "add_branch",
    "batch_norm2d",
    "call_on_map",
    "checkpointed",
    "conv2d",
    "drop_path_rates",
    "from_map",
    "is_batch_norm_statistic",
    "is_channels_last",
    "linear",
    "map_to_nhwc",
    "may_fuse",
    "nhwc_to_map",
    "normal_linear",
    "pooled",
    "staged_drop_path_rates",
    "to_map",
    "with_gradient_hooks",
]
