"""ConvMixer: patches mixed by depthwise, then by pointwise convolutions.

Paper: Patches Are All You Need?, https://arxiv.org/abs/2201.09792 (figure 2 and the code in appendix D).
"""

from __future__ import annotations

import re
from typing import List

import paddle
from paddle import nn

from ppcls.arch.backbone.base import Backbone, FeatureInfo, require_positive
from ppcls.arch.layers import activation, batch_norm2d, conv2d
from ppcls.arch.registry import register_family
from ppcls.arch.spec import CIFAR10_MEAN, CIFAR10_STD, ModelSpec
from ppcls.errors import ConfigError


class ConvActNorm(nn.Layer):
    """Convolution, activation, then batch norm: the paper's order, [B, C, H, W] -> [B, C', H', W']."""

    def __init__(self, conv: nn.Conv2D, channels: int, act: str) -> None:
        super().__init__()
        self.conv = conv
        self.act = activation(act)
        self.norm = batch_norm2d(channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return BN(act(conv(x)))."""
        return self.norm(self.act(self.conv(x)))


class Block(nn.Layer):
    """Mixes positions with a residual around it, then channels without one; keeps the shape [B, C, H, W]."""

    def __init__(self, dim: int, kernel_size: int, act: str) -> None:
        super().__init__()
        self.depthwise = ConvActNorm(conv2d(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim), dim, act)
        self.pointwise = ConvActNorm(conv2d(dim, dim, 1), dim, act)

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        """Return z(l) of z(l-1), equations 2 and 3."""
        return self.pointwise(z + self.depthwise(z))


class ConvMixer(Backbone):
    """ConvMixer-h/d with kernel size k and patch size p (section 2).

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
        require_positive(dim=dim, depth=depth, kernel_size=kernel_size, patch_size=patch_size)
        if kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size: expected an odd number, which keeps the map's size, got {kernel_size}")
        super().__init__(dim, in_channels, patch_size, recompute)
        self.depth = depth
        self.stem = ConvActNorm(conv2d(in_channels, dim, patch_size, stride=patch_size), dim, act)
        self.blocks = nn.LayerList([Block(dim, kernel_size, act) for _ in range(depth)])
        # The maps of an isotropic network differ by depth alone: one a quarter of the blocks.
        self.feature_blocks = sorted({(depth * quarter + 3) // 4 - 1 for quarter in (1, 2, 3, 4)})
        self.feature_info = [FeatureInfo(dim, patch_size)] * len(self.feature_blocks)
        self.reset_classifier(class_num)

    def forward_features(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the last map, [B, in, H, W] -> [B, dim, H / p, W / p].

        Raises:
            ConfigError: the image is smaller than a patch or has another number of channels.
        """
        self.check_input(x)
        z = self.stem(x)
        for block in self.blocks:
            z = self.run(block, z)
        return z

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps after each quarter of the blocks, each [B, dim, H / p, W / p]."""
        self.check_input(x)
        z, maps = self.stem(x), []
        for index, block in enumerate(self.blocks):
            z = self.run(block, z)
            if index in self.feature_blocks:
                maps.append(z)
        return maps

    def depth_of(self, name: str) -> int:
        """Return 0 for the stem, 1 to d for the blocks, d + 1 for the head.

        Raises:
            ValueError: there is no such place in this architecture.
        """
        part, _, rest = name.partition(".")
        if part == "stem":
            return 0
        if part == "head":
            return self.depth + 1
        block = re.match(r"(\d+)(\.|$)", rest)
        if part != "blocks" or block is None or int(block[1]) >= self.depth:
            raise ValueError(f"ConvMixer has no parameter {name!r}")
        return int(block[1]) + 1


def _variant(name: str, params: int, macs: int, top1: float, weights: str) -> ModelSpec:
    return ModelSpec(
        name=name,
        family="ConvMixer",
        params=params,
        # The 5.55, 19.55 and 48.68 G that are often quoted leave the depthwise convolutions out.
        macs=macs,
        top1=top1,
        image_size=224,
        crop_pct=0.96,
        paper="https://arxiv.org/abs/2201.09792",
        url=f"https://github.com/tmp-iclr/convmixer/releases/download/v1.0/{weights}",
        licence="MIT",
    )


VARIANTS = (
    (
        _variant("ConvMixer_768_32", 21_110_248, 20_676_851_712, 80.16, "convmixer_768_32_ks7_p7_relu.pth.tar"),
        # The published weights are for ReLU; with GELU they give nonsense.
        {"dim": 768, "depth": 32, "kernel_size": 7, "patch_size": 7, "act": "relu"},
    ),
    (
        _variant("ConvMixer_1024_20", 24_383_464, 5_948_547_072, 76.94, "convmixer_1024_20_ks9_p14.pth.tar"),
        {"dim": 1024, "depth": 20, "kernel_size": 9, "patch_size": 14},
    ),
    (
        _variant("ConvMixer_1536_20", 51_625_960, 51_099_168_768, 81.37, "convmixer_1536_20_ks9_p7.pth.tar"),
        {"dim": 1536, "depth": 20, "kernel_size": 9, "patch_size": 7},
    ),
    (
        ModelSpec(
            name="ConvMixer_256_8",
            family="ConvMixer",
            params=594_186,
            macs=148_113_920,
            top1=None,
            image_size=32,
            crop_pct=1.0,
            paper="https://arxiv.org/abs/2201.09792",
            mean=CIFAR10_MEAN,
            std=CIFAR10_STD,
            class_num=10,
        ),
        {"dim": 256, "depth": 8, "kernel_size": 5, "patch_size": 2},
    ),
)

register_family(ConvMixer, VARIANTS)
