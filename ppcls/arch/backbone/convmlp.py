"""ConvMLP: a convolution stage, then stages of channel MLPs connected by depthwise convolutions.

Paper: ConvMLP: Hierarchical Convolutional MLPs for Vision, https://arxiv.org/abs/2109.04454 (figure 2, section 3).
"""

from __future__ import annotations

import functools
import math
from typing import Callable, List, Union

import paddle
from paddle import nn
from paddle.nn.initializer import Normal

from ppcls.arch import ops
from ppcls.arch.backbone.base import Depth, FeatureInfo, hidden_width, require_sizes, require_stages
from ppcls.arch.backbone.pyramid import PyramidBackbone
from ppcls.arch.layers import (
    MLP,
    BatchNorm2D,
    Conv2D,
    DropPath,
    LayerNorm,
    MaxPool2D,
    add_branch,
    batch_norm2d,
    call_on_map,
    conv2d,
    from_map,
    map_to_nhwc,
    nhwc_to_map,
    staged_drop_path_rates,
    to_map,
)
from ppcls.arch.layers.layout import to_nchw
from ppcls.arch.model_spec import ModelSpec
from ppcls.arch.registry import register_family
from ppcls.registry.checks import require_int


class ConvMLP(PyramidBackbone):
    """ConvMLP (section 3).

    Initialised as the authors' code: projections from N(0, 0.02), convolutions by He's normal of their fan-out.

    Args:
        blocks: number of Conv-MLP blocks in each stage.
        dims: channels of each stage.
        mlp_ratios: hidden by outer channels of each stage's MLPs.
        channels: of the convolution stage.
        conv_blocks: number of blocks in the convolution stage.
        drop_path_rate: stochastic depth of the last block; the first has none.
        drop_path_schedule: "stage" ramps anew within each stage (the authors' code), "linear" once.
        class_num: outputs of the classifier; 0 gives the pooled features instead.
        in_channels: channels of the input image.
        recompute: trade time for memory by gradient checkpointing.

    Raises:
        ConfigError: lists of different lengths, a size that is not positive, or a rate out of range.
    """

    first_conv = "tokenizer.0.conv.weight"
    depths = (("tokenizer", Depth.STEM), (r"conv_blocks\.\d+", Depth.BLOCK), *PyramidBackbone.depths)

    def __init__(
        self,
        blocks: List[int],
        dims: List[int],
        mlp_ratios: List[Union[int, float]],
        channels: int = 64,
        conv_blocks: int = 3,
        drop_path_rate: float = 0.0,
        drop_path_schedule: str = "stage",
        class_num: int = 1000,
        in_channels: int = 3,
        recompute: bool = False,
    ) -> None:
        require_stages(blocks=blocks, dims=dims, mlp_ratios=mlp_ratios)
        require_int("channels", channels, 2)  # the tokenizer begins with half of them
        require_sizes(conv_blocks=conv_blocks)
        for depth, dim in zip(blocks, dims):
            require_sizes(blocks=depth, dims=dim)
        hidden = [hidden_width("mlp_ratios", dim, ratio) for dim, ratio in zip(dims, mlp_ratios)]
        super().__init__(dims[-1], in_channels, 4, recompute)
        self.tokenizer = nn.Sequential(
            ConvNormAct(in_channels, channels // 2, 3, stride=2),
            ConvNormAct(channels // 2, channels // 2, 3),
            ConvNormAct(channels // 2, channels, 3),
            MaxPool2D(3, stride=2, padding=1),
        )
        self.conv_blocks = nn.LayerList([ConvBlock(channels, dims[0]) for _ in range(conv_blocks)])
        rates = staged_drop_path_rates(drop_path_rate, blocks, drop_path_schedule)
        self.stages = nn.LayerList([Stage(*sizes) for sizes in zip([channels, *dims], dims, hidden, rates)])
        self.norm = LayerNorm(dims[-1])
        self.feature_info = [FeatureInfo(width, 4 << index) for index, width in enumerate([channels, *dims])]
        self.reset_classifier(class_num)

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps of the convolution stage and of each later stage, the last one normalised.

        Each stage halves the map, rounding up: [B, in, H, W] -> [B, channels, H / 4, W / 4],
        [B, dims[0], H / 8, W / 8], ...; see ``Backbone``.
        """
        self.check_input(x)
        x = self.tokenizer(to_map(x))  # [B, channels, H / 4, W / 4]
        for block in self.conv_blocks:
            x = self.run(block, x)
        maps = [x]
        for stage in self.stages:
            maps.append(stage(maps[-1], self.run))
        return [*map(from_map, maps[:-1]), to_nchw(self.norm(map_to_nhwc(maps[-1])))]


class Stage(nn.Layer):
    """Halves the map, [B, C, H, W] -> [B, C', H / 2, W / 2], and mixes it by Conv-MLP blocks."""

    def __init__(self, in_channels: int, dim: int, hidden: int, drop_paths: List[float]) -> None:
        super().__init__()
        self.downsample = _conv(in_channels, dim, 3, stride=2, bias=True)
        self.blocks = nn.LayerList([ConvMLPBlock(dim, hidden, rate) for rate in drop_paths])

    def forward(self, x: paddle.Tensor, run: Callable[[nn.Layer, paddle.Tensor], paddle.Tensor]) -> paddle.Tensor:
        """Return the stage's map; ``run(block, x)`` computes a block."""
        x = map_to_nhwc(call_on_map(self.downsample, x, Conv2D))
        for block in self.blocks:
            x = run(block, x)
        return nhwc_to_map(x)


class ConvMLPBlock(nn.Layer):
    """Channel MLP, depthwise 3x3 convolution (without a residual around it), channel MLP; keeps [B, H, W, C]."""

    def __init__(self, dim: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.channel_mlp1 = MLP(dim, hidden, dim)
        self.connect_norm = LayerNorm(dim)
        self.connect = _conv(dim, dim, 3, groups=dim, channels_last=True)
        self.norm2 = LayerNorm(dim)
        self.channel_mlp2 = MLP(dim, hidden, dim)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the block's output."""
        x = add_branch(x, self.channel_mlp1(self.norm1(x)), self.drop_path)
        x = self.connect(self.connect_norm(x))
        return add_branch(x, self.channel_mlp2(self.norm2(x)), self.drop_path)


class ConvBlock(nn.LayerList):
    """1x1, 3x3 and 1x1 convolution with a residual around them; keeps the shape [B, C, H, W]."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__(
            [ConvNormAct(channels, hidden, 1), ConvNormAct(hidden, hidden, 3), ConvNormAct(hidden, channels, 1)]
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return x + f(x)."""
        z = x
        for conv in self:
            z = conv(z)
        return ops.residual_sum(x, z)


class ConvNormAct(nn.Layer):
    """Convolution without a bias, batch norm, ReLU: [B, C, H, W] -> [B, C', H', W']."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels, kernel_size, stride)
        self.norm = batch_norm2d(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return ReLU(BN(conv(x)))."""
        return ops.relu(call_on_map(self.norm, call_on_map(self.conv, x, Conv2D), BatchNorm2D))


def _conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    channels_last: bool = False,
) -> nn.Conv2D:
    # The authors' kaiming_normal_(mode="fan_out") does not divide by the groups, and leaves biases as PyTorch has them.
    init = Normal(std=math.sqrt(2 / (out_channels * kernel_size**2)))
    padding = kernel_size // 2
    return conv2d(
        in_channels, out_channels, kernel_size, stride, padding, groups, bias, init, channels_last=channels_last
    )


_spec = functools.partial(
    ModelSpec, family="ConvMLP", image_size=224, crop_pct=0.9, paper="https://arxiv.org/abs/2109.04454"
)
_WEIGHTS = "https://shi-labs.com/projects/convmlp/checkpoints/convmlp_{}_imagenet.pth"
VARIANTS = tuple(
    (
        _spec(f"ConvMLP_{size}", params=params, macs=macs, top1=top1, url=_WEIGHTS.format(size.lower())),
        {"blocks": blocks, "dims": dims, "mlp_ratios": ratios, "channels": dims[0] // 2, "conv_blocks": conv_blocks},
    )
    for size, params, macs, top1, blocks, dims, ratios, conv_blocks in (
        ("S", 9_022_920, 2_385_327_104, 76.8, [2, 4, 2], [128, 256, 512], [2, 2, 2], 2),
        ("M", 17_410_504, 3_928_765_952, 79.0, [3, 6, 3], [128, 256, 512], [3, 3, 3], 3),
        ("L", 42_728_440, 9_869_797_632, 80.2, [4, 8, 3], [192, 384, 768], [3, 3, 3], 3),
    )
)

register_family(ConvMLP, VARIANTS)
