"""Paddle's basic layers with PyTorch's defaults, which the reference implementations rely on.

PyTorch draws the weights and biases of Conv2d and Linear from U(-1/sqrt(fan_in), 1/sqrt(fan_in))
(https://pytorch.org/docs/stable/generated/torch.nn.Linear.html); Paddle draws other weights and zero biases.
"""

from __future__ import annotations

import math
from typing import Callable, Dict

from paddle import nn

from ppcls.errors import ConfigError
from ppcls.registry import suggest

_ACTIVATIONS: Dict[str, Callable[[], nn.Layer]] = {"gelu": nn.GELU, "relu": nn.ReLU}


def activation(name: str) -> nn.Layer:
    """Return the activation layer called ``name``.

    Raises:
        ConfigError: no such activation.
    """
    if name not in _ACTIVATIONS:
        raise ConfigError(f"unknown activation {name!r}{suggest(name, _ACTIVATIONS)}")
    return _ACTIVATIONS[name]()


def conv2d(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Conv2D:
    """Return a convolution, [B, in, H, W] -> [B, out, H', W'], initialised as PyTorch's."""
    bound = 1 / math.sqrt(in_channels // groups * kernel_size**2)
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=padding,
        groups=groups,
        weight_attr=nn.initializer.Uniform(-bound, bound),
        bias_attr=nn.initializer.Uniform(-bound, bound),
    )


def linear(in_features: int, out_features: int) -> nn.Linear:
    """Return a projection, [..., in] -> [..., out], initialised as PyTorch's."""
    bound = 1 / math.sqrt(in_features)
    return nn.Linear(
        in_features,
        out_features,
        weight_attr=nn.initializer.Uniform(-bound, bound),
        bias_attr=nn.initializer.Uniform(-bound, bound),
    )


def batch_norm2d(channels: int) -> nn.BatchNorm2D:
    """Return a batch normalisation of [B, C, H, W]; momentum 0.9 is PyTorch's 0.1."""
    return nn.BatchNorm2D(channels, momentum=0.9, epsilon=1e-5)
