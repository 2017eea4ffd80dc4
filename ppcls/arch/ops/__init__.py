"""Operators of the backbones, each with Paddle's plain expression and a faster path on CPUs."""

from ppcls.arch.ops.activation import gelu, relu
from ppcls.arch.ops.batch_normalization import batch_norm
from ppcls.arch.ops.conv import conv2d_nhwc
from ppcls.arch.ops.conv_norm import conv_act_norm
from ppcls.arch.ops.dispatch import Choices, available, bfloat16_products, describe, plain_operators, uses_onednn
from ppcls.arch.ops.gating import GatingParameters, spatial_gating
from ppcls.arch.ops.halves import linear_halves
from ppcls.arch.ops.layer_normalization import layer_norm
from ppcls.arch.ops.memory import release_memory
from ppcls.arch.ops.pooling import max_pool_nhwc, spatial_mean
from ppcls.arch.ops.projection import cycle_linear, linear
from ppcls.arch.ops.residual import residual_sum
from ppcls.arch.ops.shift import Cycle, cycle_shift
from ppcls.arch.ops.threads import can_set_threads, get_threads, reset_threads, set_threads
from ppcls.arch.ops.weighting import weighted_sum

__all__ = [
    "Choices",
    "Cycle",
    "GatingParameters",
    "available",
    "batch_norm",
    "bfloat16_products",
    "can_set_threads",
    "conv2d_nhwc",
    "conv_act_norm",
    "cycle_linear",
    "cycle_shift",
    "describe",
    "gelu",
    "get_threads",
    "layer_norm",
    "linear",
    "linear_halves",
    "max_pool_nhwc",
    "plain_operators",
    "release_memory",
    "relu",
    "reset_threads",
    "residual_sum",
    "set_threads",
    "spatial_gating",
    "spatial_mean",
    "uses_onednn",
    "weighted_sum",
]
