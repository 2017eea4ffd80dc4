"""Paddle's layers with the project's operators inside: the same parameters and results, faster on CPUs.

Maps of convolutional stages are [B, C, H, W] where Paddle's operators compute them, and [B, H, W, C] where the CPU
kernels do, which ``is_channels_last`` tells. ``to_map`` and ``from_map`` convert at the ends of such a stage, or do
nothing. Layers call their base's ``forward`` by its class: Paddle 2 cannot export ``super()``.
"""

from __future__ import annotations

from typing import Type

import paddle
import paddle.nn.functional as F
from paddle import nn

from ppcls.arch import ops
from ppcls.arch.layers.layout import to_nchw, to_nhwc


def is_channels_last(x: paddle.Tensor) -> bool:
    """Return whether convolutional stages compute ``x`` as [B, H, W, C]."""
    return ops.uses_onednn(x)


def is_unchanged(layer: nn.Layer, *kinds: Type[nn.Layer]) -> bool:
    """Return whether ``layer`` is exactly of one of these classes, so that it computes what they do.

    Users may have put another layer in its place, a class derived from it, or another ``forward``.
    """
    return type(layer) in kinds and "forward" not in vars(layer)


def may_fuse(layer: nn.Layer, *kinds: Type[nn.Layer]) -> bool:
    """Return whether an operator may compute what ``layer`` does.

    It is one of these classes, is set to nothing that the CPU kernels do not know (``has_kernels``), and has no hooks.
    """
    unwatched = not layer._forward_pre_hooks and not layer._forward_post_hooks
    return is_unchanged(layer, *kinds) and unwatched and getattr(layer, "has_kernels", True)


def call_on_map(layer: nn.Layer, x: paddle.Tensor, *kinds: Type[nn.Layer]) -> paddle.Tensor:
    """Return ``layer(x)`` of a convolutional stage's map.

    A layer of another class than ``kinds`` expects [B, C, H, W], and may contain layers of the project. So all of it is
    computed by Paddle's operators.
    """
    if not is_channels_last(x) or is_unchanged(layer, nn.Identity, *kinds):
        return layer(x)
    with ops.plain_operators():
        return to_nhwc(layer(to_nchw(x)))


def with_gradient_hooks(x: paddle.Tensor) -> paddle.Tensor:
    """Return a model's result in a form whose ``register_hook`` can change gradients.

    Paddle drops what hooks return if a ``PyLayer`` made the tensor, as the CPU kernels are.
    """
    return x.clone() if ops.uses_onednn(x) and not x.stop_gradient else x


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


class ReLU(nn.ReLU):
    """max(x, 0)."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return ReLU(x)."""
        return ops.relu(x)


class GELU(nn.GELU):
    """GELU, or its approximation by tanh."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return GELU(x)."""
        return ops.gelu(x) if self.has_kernels else nn.GELU.forward(self, x)

    @property
    def has_kernels(self) -> bool:
        """Return whether the CPU kernels compute it, which do not approximate it."""
        return self._approximate in (False, "none")


class LayerNorm(nn.LayerNorm):
    """Layer normalization, of the last axis unless the layer is told otherwise."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the normalized x, [..., C]."""
        if not self.has_kernels:
            return nn.LayerNorm.forward(self, x)
        assert self.weight is not None and self.bias is not None
        return ops.layer_norm(x, self.weight, self.bias, self._epsilon)

    @property
    def has_kernels(self) -> bool:
        """Return whether the CPU kernels can compute it: of one axis, with scale and shift."""
        return len(self._normalized_shape) == 1 and self.weight is not None and self.bias is not None


class BatchNorm2D(nn.BatchNorm2D):
    """Batch normalization of a convolutional stage's maps."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the normalized map."""
        if not is_channels_last(x):
            return nn.BatchNorm2D.forward(self, x)
        return ops.batch_norm(x, self) if self.has_kernels else to_nhwc(nn.BatchNorm2D.forward(self, to_nchw(x)))

    @property
    def has_kernels(self) -> bool:
        """Return whether the CPU kernels can compute it: of a map's channels, with scale and shift."""
        return self._data_format == "NCHW" and self.weight is not None and self.bias is not None


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
    """Convolution of a convolutional stage's maps."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the convolution."""
        return self.compute_nhwc(x) if is_channels_last(x) else nn.Conv2D.forward(self, x)

    def compute_nhwc(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the convolution of a map [B, H, W, C]."""
        if is_channels_last(x) and self.has_kernels:
            return ops.conv2d_nhwc(x, self.weight, self.bias, self._stride[0], self._updated_padding[0], self._groups)
        return to_nhwc(nn.Conv2D.forward(self, to_nchw(x)))

    @property
    def has_kernels(self) -> bool:
        """Return whether the CPU kernels can compute it: kernel, stride and padding are square, and no more is set."""
        padding = self._updated_padding  # one for each axis, or two where both ends differ
        return (
            self._data_format == "NCHW"
            and self._dilation == [1, 1]
            and self._padding_mode == "zeros"
            and self._padding_algorithm != "SAME"
            and len(padding) == 2
            and all(size[0] == size[1] for size in (self._kernel_size, self._stride, padding))
        )


class ChannelsLastConv2D(Conv2D):
    """Convolution of maps that are always [B, H, W, C]."""

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the convolution, [B, H', W', C']."""
        return self.compute_nhwc(x)
