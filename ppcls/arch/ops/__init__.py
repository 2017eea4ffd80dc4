"""Operators of the backbones, each with Paddle's plain expression and a faster path on CPUs."""

from ppcls.arch.ops.batch_norm import batch_norm
from ppcls.arch.ops.conv import conv2d_nhwc
from ppcls.arch.ops.cycle_shift import cycle_shift
from ppcls.arch.ops.dispatch import bfloat16_products, describe, uses_onednn
from ppcls.arch.ops.gelu import gelu
from ppcls.arch.ops.layer_norm import layer_norm
from ppcls.arch.ops.linear import linear

__all__ = [
    "batch_norm",
    "bfloat16_products",
    "conv2d_nhwc",
    "cycle_shift",
    "describe",
    "gelu",
    "layer_norm",
    "linear",
    "uses_onednn",
]
