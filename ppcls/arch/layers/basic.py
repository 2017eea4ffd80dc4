"""Paddle's basic layers, initialised as the reference implementations initialise theirs.

Each constructor takes the initialisers of the weight and of the bias. The default is PyTorch's: weights and biases of
convolutions and projections are drawn from U(-1/sqrt(fan_in), 1/sqrt(fan_in))
(https://pytorch.org/docs/stable/generated/torch.nn.Linear.html). Paddle's own default is another one, with zero biases.
"""

from __future__ import annotations

import math
from typing import Callable, Dict, Optional, Union

from paddle import nn
from paddle.nn.initializer import Initializer, Uniform

from ppcls.arch.layers.modules import GELU, BatchNorm2D, ChannelsLastConv2D, Conv2D, Linear, ReLU
from ppcls.errors import ConfigError
from ppcls.registry import suggest

_ACTIVATIONS: Dict[str, Callable[[], nn.Layer]] = {"gelu": GELU, "relu": ReLU}


def activation(name: str) -> nn.Layer:
    """Return the activation layer called ``name``.

    Raises:
        ConfigError: no such activation.
    """
    if name not in _ACTIVATIONS:
        raise ConfigError(f"unknown activation {name!r}{suggest(name, _ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    bias: bool = True,
    weight_init: Optional[Initializer] = None,
    bias_init: Optional[Initializer] = None,
    channels_last: bool = False,
) -> nn.Conv2D:
    """Return a convolution of a convolutional stage's maps, initialised as PyTorch's unless told otherwise.

    Args:
        channels_last: for maps that are always [B, H, W, C].
    """
    fan_in = in_channels // groups * kernel_size**2
    return (ChannelsLastConv2D if channels_last else Conv2D)(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=padding,
        groups=groups,
        weight_attr=weight_init or default_init(fan_in),
        bias_attr=bias_attr(bias, bias_init, fan_in),
    )


def linear(
    in_features: int,
    out_features: int,
    bias: bool = True,
    weight_init: Optional[Initializer] = None,
    bias_init: Optional[Initializer] = None,
) -> nn.Linear:
    """Return a projection, [..., in] -> [..., out], initialised as PyTorch's unless told otherwise."""
    return Linear(
        in_features,
        out_features,
        weight_attr=weight_init or default_init(in_features),
        bias_attr=bias_attr(bias, bias_init, in_features),
    )


def batch_norm2d(channels: int) -> nn.BatchNorm2D:
    """Return a batch normalisation of a convolutional stage's maps; momentum 0.9 is PyTorch's 0.1."""
    return BatchNorm2D(channels, momentum=0.9, epsilon=1e-5)


def is_batch_norm_statistic(name: str) -> bool:
    """Return whether a parameter is a running mean or variance, which Paddle counts as parameters."""
    return name.rpartition(".")[2] in ("_mean", "_variance")


def default_init(fan_in: int) -> Initializer:
    """Return PyTorch's initialiser for the weights and biases of a layer with ``fan_in`` inputs per output."""
    bound = 1 / math.sqrt(fan_in)
    return Uniform(-bound, bound)


def bias_attr(bias: bool, bias_init: Optional[Initializer], fan_in: int) -> Union[Initializer, bool]:
    """Return what Paddle's layers take as ``bias_attr``; False for no bias."""
    return (bias_init or default_init(fan_in)) if bias else False
