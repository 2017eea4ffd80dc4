"""Paddle's layers with the project's operators inside: the same parameters and results, faster on CPUs.

Maps of convolutional stages are [B, C, H, W] where Paddle's operators compute them, and [B, H, W, C] where the CPU
kernels do, which ``is_channels_last`` tells. ``to_map`` and ``from_map`` convert at the ends of such a stage, or do
nothing. Layers call their base's ``forward`` by its class: Paddle 2 cannot export ``super()``.
"""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppcls.arch import ops
from ppcls.arch.layers.layout import to_nchw, to_nhwc


def is_channels_last(x: paddle.Tensor) -> bool:
    """Return whether convolutional stages compute ``x`` as [B, H, W, C]."""
    return ops.uses_onednn(x)


def has_hooks(*layers: nn.Layer) -> bool:
    """Return whether somebody wants to see what goes into these layers or comes out, so that they must be called."""
    return any(layer._forward_pre_hooks or layer._forward_post_hooks for layer in layers)


def to_map(x: paddle.Tensor) -> paddle.Tensor:
    """Return images [B, C, H, W] in the order in which a convolutional stage computes them."""
    return to_nhwc(x) if is_channels_last(x) else x


def from_map(x: paddle.Tensor) -> paddle.Tensor:
    """Return a convolutional stage's map as [B, C, H, W]."""
    return to_nchw(x) if is_channels_last(x) else x


def map_to_nhwc(x: paddle.Tensor) -> paddle.Tensor:
    """Return a convolutional stage's map as [B, H, W, C]."""
    return x if is_channels_last(x) else to_nhwc(x)


def nhwc_to_map(x: paddle.Tensor) -> paddle.Tensor:
    """Return [B, H, W, C] in the order in which a convolutional stage computes it."""
    return x if is_channels_last(x) else to_nchw(x)


def pooled(x: paddle.Tensor) -> paddle.Tensor:
    """Return the mean of a map over its positions, [B, C, H, W] -> [B, C]."""
    return ops.spatial_mean(to_nhwc(x)) if is_channels_last(x) else x.mean([2, 3])


class Linear(nn.Linear):
    """A projection, [..., in] -> [..., out]."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return x W + b."""
        return ops.linear(x, self.weight, self.bias)


class HalvesLinear(nn.Linear):
    """A projection whose result a gating unit halves, [B, n, in] -> [B, n, 2C], or [2, B, n, C] of the CPU kernels."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return x W + b."""
        assert self.bias is not None
        return ops.linear_halves(x, self.weight, self.bias)


class ReLU(nn.ReLU):
    """max(x, 0)."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return ReLU(x)."""
        return ops.relu(x)


class GELU(nn.GELU):
    """GELU, not its approximation by tanh."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return GELU(x)."""
        return ops.gelu(x)


class LayerNorm(nn.LayerNorm):
    """Layer normalization of the last axis."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the normalized x, [..., C]."""
        assert self.weight is not None and self.bias is not None
        return ops.layer_norm(x, self.weight, self.bias, self._epsilon)


class BatchNorm2D(nn.BatchNorm2D):
    """Batch normalization of a convolutional stage's maps."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the normalized map."""
        return ops.batch_norm(x, self) if is_channels_last(x) else nn.BatchNorm2D.forward(self, x)


class MaxPool2D(nn.Layer):
    """Maximum over windows of a convolutional stage's maps; padding counts as minus infinity."""

    def __init__(self, kernel_size: int, stride: int, padding: int) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the smaller map."""
        pool = ops.max_pool_nhwc if is_channels_last(x) else F.max_pool2d
        return pool(x, self.kernel_size, self.stride, self.padding)


class Conv2D(nn.Conv2D):
    """Convolution of a convolutional stage's maps; kernels, strides and paddings are square."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the convolution."""
        return self.compute_nhwc(x) if is_channels_last(x) else nn.Conv2D.forward(self, x)

    def compute_nhwc(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the convolution of a map [B, H, W, C] by the CPU kernels."""
        return ops.conv2d_nhwc(x, self.weight, self.bias, self._stride[0], self._updated_padding[0], self._groups)


class ChannelsLastConv2D(Conv2D):
    """Convolution of maps that are always [B, H, W, C]."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the convolution, [B, H', W', C']."""
        return self.compute_nhwc(x) if is_channels_last(x) else to_nhwc(nn.Conv2D.forward(self, to_nchw(x)))
