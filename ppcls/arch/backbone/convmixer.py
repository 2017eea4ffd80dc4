"""ConvMixer: patches mixed by depthwise, then by pointwise convolutions.

Paper: Patches Are All You Need?, https://arxiv.org/abs/2201.09792 (figure 2 and the code in appendix D).
"""

from __future__ import annotations

import functools
from typing import Dict, List, Type

import paddle
from paddle import nn

from ppcls.arch import ops
from ppcls.arch.backbone.base import require_odd, require_sizes
from ppcls.arch.backbone.isotropic import IsotropicBackbone
from ppcls.arch.layers import (
    GELU,
    BatchNorm2D,
    Conv2D,
    ReLU,
    activation,
    batch_norm2d,
    call_on_map,
    conv2d,
    from_map,
    is_channels_last,
    may_fuse,
    to_map,
)
from ppcls.arch.model_spec import CIFAR10_MEAN, CIFAR10_STD, ModelSpec
from ppcls.arch.registry import register_family


class ConvMixer(IsotropicBackbone):
    """ConvMixer-h/d with kernel size k and patch size p (section 2).

    Convolutions are initialised as PyTorch's, which the authors leave as they are.

    Args:
        dim: h, the width of the patch embeddings.
        depth: d, the number of blocks.
        kernel_size: k, of the depthwise convolutions; odd, in patches.
        patch_size: p, in pixels.
        act: "gelu" (paper) or "relu".
        class_num: outputs of the classifier; 0 gives the pooled features instead.
        in_channels: channels of the input image.
        recompute: trade time for memory by gradient checkpointing.

    Raises:
        ConfigError: a size that is not positive, an even kernel size, or an unknown activation.
    """

    first_conv = "stem.conv.weight"

    def __init__(
        self,
        dim: int,
        depth: int,
        kernel_size: int = 9,
        patch_size: int = 7,
        act: str = "gelu",
        class_num: int = 1000,
        in_channels: int = 3,
        recompute: bool = False,
    ) -> None:
        require_sizes(dim=dim, depth=depth, patch_size=patch_size)
        require_odd("kernel_size", kernel_size)
        super().__init__(dim, depth, in_channels, patch_size, recompute)
        self.stem = ConvActNorm(conv2d(in_channels, dim, patch_size, stride=patch_size), dim, act)
        self.blocks = nn.LayerList([Block(dim, kernel_size, act) for _ in range(depth)])
        self.reset_classifier(class_num)

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps after each quarter of the blocks, [B, in, H, W] -> [B, h, H / p, W / p]; see ``Backbone``."""
        self.check_input(x)
        z = call_on_map(self.stem, to_map(x), ConvActNorm)  # z(0), equation 1
        return [from_map(z) for z in self.run_blocks(z)]


class Block(nn.Layer):
    """Mixes positions with a residual around it, then channels without one; keeps the shape [B, h, H, W]."""

    def __init__(self, dim: int, kernel_size: int, act: str) -> None:
        super().__init__()
        self.depthwise = ConvActNorm(conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim), dim, act)
        self.pointwise = ConvActNorm(conv2d(dim, dim, 1), dim, act)

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        """Return z(l) of z(l-1), equations 2 and 3."""
        return self.pointwise(self.depthwise(z, residual=True))


_NAMES: Dict[Type[nn.Layer], str] = {GELU: "gelu", ReLU: "relu"}


class ConvActNorm(nn.Layer):
    """Convolution, activation, then batch norm: the paper's order, [B, C, H, W] -> [B, C', H', W']."""

    def __init__(self, conv: nn.Conv2D, channels: int, act: str) -> None:
        super().__init__()
        self.conv = conv
        self.act = activation(act)
        self.norm = batch_norm2d(channels)

    def forward(self, x: paddle.Tensor, residual: bool = False) -> paddle.Tensor:
        """Return BN(act(conv(x))), plus x if ``residual``."""
        if is_channels_last(x) and self._is_fused():
            return ops.conv_act_norm(x, self.conv, _NAMES[type(self.act)], self.norm, residual)
        y = call_on_map(self.act, call_on_map(self.conv, x, Conv2D), *_NAMES)
        y = call_on_map(self.norm, y, BatchNorm2D)
        return x + y if residual else y

    def _is_fused(self) -> bool:
        """Return whether one operator may compute what the layers do."""
        return may_fuse(self.conv, Conv2D) and may_fuse(self.act, *_NAMES) and may_fuse(self.norm, BatchNorm2D)


_RELEASE = "https://github.com/tmp-iclr/convmixer/releases/download/v1.0"
_spec = functools.partial(ModelSpec, family="ConvMixer", paper="https://arxiv.org/abs/2201.09792")
_imagenet = functools.partial(_spec, image_size=224, crop_pct=0.96, licence="MIT")

# The 19.55, 5.55 and 48.68 G multiply-adds that are often quoted leave the depthwise convolutions out.
VARIANTS = (
    (
        _imagenet(
            name="ConvMixer_768_32",
            params=21_110_248,
            macs=20_676_851_712,
            top1=80.16,
            url=f"{_RELEASE}/convmixer_768_32_ks7_p7_relu.pth.tar",
        ),
        # The published weights are for ReLU; with GELU they give nonsense.
        {"dim": 768, "depth": 32, "kernel_size": 7, "patch_size": 7, "act": "relu"},
    ),
    (
        _imagenet(
            name="ConvMixer_1024_20",
            params=24_383_464,
            macs=5_948_547_072,
            top1=76.94,
            url=f"{_RELEASE}/convmixer_1024_20_ks9_p14.pth.tar",
        ),
        {"dim": 1024, "depth": 20, "kernel_size": 9, "patch_size": 14},
    ),
    (
        _imagenet(
            name="ConvMixer_1536_20",
            params=51_625_960,
            macs=51_099_168_768,
            top1=81.37,
            url=f"{_RELEASE}/convmixer_1536_20_ks9_p7.pth.tar",
        ),
        {"dim": 1536, "depth": 20, "kernel_size": 9, "patch_size": 7},
    ),
    (
        _spec(
            name="ConvMixer_256_8",
            params=594_186,
            macs=148_113_920,
            top1=None,
            image_size=32,
            crop_pct=1.0,
            mean=CIFAR10_MEAN,
            std=CIFAR10_STD,
            class_num=10,
        ),
        {"dim": 256, "depth": 8, "kernel_size": 5, "patch_size": 2},
    ),
)

register_family(ConvMixer, VARIANTS)
