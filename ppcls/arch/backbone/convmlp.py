"""ConvMLP: a convolution stage, then stages of channel MLPs connected by depthwise convolutions.

Paper: ConvMLP: Hierarchical Convolutional MLPs for Vision, https://arxiv.org/abs/2109.04454 (figure 2, section 3).
"""

from __future__ import annotations

import math
import re
from typing import Callable, List, Union

import paddle
from paddle import nn
from paddle.nn.initializer import Constant, Normal, Uniform

from ppcls.arch.backbone.base import Backbone, FeatureInfo, require_positive
from ppcls.arch.layers import DropPath, batch_norm2d, staged_drop_path_rates
from ppcls.arch.registry import register_family
from ppcls.arch.spec import ModelSpec
from ppcls.errors import ConfigError


def _conv(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1, bias: bool = False
) -> nn.Conv2D:
    # The authors' kaiming_normal_(mode="fan_out") does not divide by the groups, and leaves biases as PyTorch has them.
    bound = 1 / math.sqrt(in_channels // groups * kernel_size**2)
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        groups=groups,
        weight_attr=Normal(std=math.sqrt(2 / (out_channels * kernel_size**2))),
        bias_attr=Uniform(-bound, bound) if bias else False,
    )


def _linear(in_features: int, out_features: int) -> nn.Linear:
    # PyTorch's trunc_normal_ cuts at -2 and 2, which is a hundred standard deviations away.
    return nn.Linear(in_features, out_features, weight_attr=Normal(std=0.02), bias_attr=Constant(0.0))


def _channels_first(x: paddle.Tensor) -> paddle.Tensor:
    return x.transpose([0, 3, 1, 2])


def _channels_last(x: paddle.Tensor) -> paddle.Tensor:
    return x.transpose([0, 2, 3, 1])


class ConvNormAct(nn.Layer):
    """Convolution without a bias, batch norm, ReLU: [B, C, H, W] -> [B, C', H', W']."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _conv(in_channels, out_channels, kernel_size, stride)
        self.norm = batch_norm2d(out_channels)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return ReLU(BN(conv(x)))."""
        return nn.functional.relu(self.norm(self.conv(x)))


class ConvBlock(nn.LayerList):
    """1x1, 3x3 and 1x1 convolution with a residual around them; keeps the shape [B, C, H, W]."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__(
            ConvNormAct(*args) for args in ((channels, hidden, 1), (hidden, hidden, 3), (hidden, channels, 1))
        )

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return x + f(x)."""
        z = x
        for conv in self:
            z = conv(z)
        return x + z


class ChannelMLP(nn.Layer):
    """Linear, GELU, linear over the channels: [..., C] -> [..., C]."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = _linear(dim, hidden)
        self.fc2 = _linear(hidden, dim)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return fc2(GELU(fc1(x)))."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class ConvMLPBlock(nn.Layer):
    """Channel MLP, depthwise 3x3 convolution (without a residual around it), channel MLP; keeps [B, H, W, C]."""

    def __init__(self, dim: int, hidden: int, drop_path: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.channel_mlp1 = ChannelMLP(dim, hidden)
        self.connect_norm = nn.LayerNorm(dim)
        self.connect = _conv(dim, dim, 3, groups=dim)
        self.norm2 = nn.LayerNorm(dim)
        self.channel_mlp2 = ChannelMLP(dim, hidden)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the block's output."""
        x = x + self.drop_path(self.channel_mlp1(self.norm1(x)))
        x = _channels_last(self.connect(_channels_first(self.connect_norm(x))))
        return x + self.drop_path(self.channel_mlp2(self.norm2(x)))


class Stage(nn.Layer):
    """Halves the map, [B, C, H, W] -> [B, C', H / 2, W / 2], and mixes it by Conv-MLP blocks."""

    def __init__(self, in_channels: int, dim: int, hidden: int, drop_paths: List[float]) -> None:
        super().__init__()
        self.downsample = _conv(in_channels, dim, 3, stride=2, bias=True)
        self.blocks = nn.LayerList([ConvMLPBlock(dim, hidden, rate) for rate in drop_paths])

    def forward(self, x: paddle.Tensor, run: Callable[[nn.Layer, paddle.Tensor], paddle.Tensor]) -> paddle.Tensor:
        """Return the stage's map; ``run(block, x)`` computes a block."""
        x = _channels_last(self.downsample(x))
        for block in self.blocks:
            x = run(block, x)
        return _channels_first(x)


class ConvMLP(Backbone):
    """ConvMLP (section 3).

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
        entries = [len(blocks), len(dims), len(mlp_ratios)]
        if not blocks or len(set(entries)) > 1:
            raise ConfigError(f"blocks, dims and mlp_ratios: expected one entry a stage in each, got {entries}")
        hidden = [int(dim * ratio) for dim, ratio in zip(dims, mlp_ratios)]
        require_positive(**{"channels // 2": channels // 2, "conv_blocks": conv_blocks})
        for depth, dim, width in zip(blocks, dims, hidden):
            require_positive(blocks=depth, dims=dim, mlp_ratios=width)
        super().__init__(dims[-1], in_channels, 4, recompute)
        self.tokenizer = nn.Sequential(
            ConvNormAct(in_channels, channels // 2, 3, stride=2),
            ConvNormAct(channels // 2, channels // 2, 3),
            ConvNormAct(channels // 2, channels, 3),
            nn.MaxPool2D(3, stride=2, padding=1),
        )
        self.conv_blocks = nn.LayerList([ConvBlock(channels, dims[0]) for _ in range(conv_blocks)])
        rates = staged_drop_path_rates(drop_path_rate, blocks, drop_path_schedule)
        self.stages = nn.LayerList([Stage(*sizes) for sizes in zip([channels, *dims], dims, hidden, rates)])
        self.norm = nn.LayerNorm(dims[-1])
        self.feature_info = [FeatureInfo(width, 4 << index) for index, width in enumerate([channels, *dims])]
        self.reset_classifier(class_num)

    def new_head(self, class_num: int) -> nn.Linear:
        """Return a classifier initialised as the authors', [B, dims[-1]] -> [B, class_num]."""
        return _linear(self.num_features, class_num)

    def forward_features(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the last map, normalised, [B, in, H, W] -> [B, dims[-1], H / 32, W / 32] (3 stages), rounded up.

        Raises:
            ConfigError: the image is smaller than 4 px or has another number of channels.
        """
        return self.features(x)[-1]

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps of the convolution stage and of each later stage, the last one normalised."""
        self.check_input(x)
        x = self.tokenizer(x)  # [B, channels, H / 4, W / 4]
        for block in self.conv_blocks:
            x = self.run(block, x)
        maps = [x]
        for stage in self.stages:
            maps.append(stage(maps[-1], self.run))
        maps[-1] = _channels_first(self.norm(_channels_last(maps[-1])))
        return maps

    def depth_of(self, name: str) -> int:
        """Return 0 for the tokenizer, then one for each block, last the head.

        A stage's downsampling belongs to its first block, the final norm to the last.

        Raises:
            ValueError: there is no such place in this architecture.
        """
        units = ["tokenizer", *(f"conv_blocks.{i}" for i in range(len(self.conv_blocks)))]
        units += [f"stages.{i}.blocks.{j}" for i, stage in enumerate(self.stages) for j in range(len(stage.blocks))]
        place = re.sub(r"^norm\b", units[-1], re.sub(r"^(stages\.\d+)\.downsample\b", r"\1.blocks.0", name))
        for depth, unit in enumerate([*units, "head"]):
            if place == unit or place.startswith(f"{unit}."):
                return depth
        raise ValueError(f"ConvMLP has no parameter {name!r}")


def _variant(size: str, params: int, macs: int, top1: float) -> ModelSpec:
    return ModelSpec(
        name=f"ConvMLP_{size.upper()}",
        family="ConvMLP",
        params=params,
        macs=macs,
        top1=top1,
        image_size=224,
        crop_pct=0.9,
        paper="https://arxiv.org/abs/2109.04454",
        url=f"https://shi-labs.com/projects/convmlp/checkpoints/convmlp_{size}_imagenet.pth",
    )


VARIANTS = (
    (
        _variant("s", 9_022_920, 2_385_327_104, 76.8),
        {"blocks": [2, 4, 2], "dims": [128, 256, 512], "mlp_ratios": [2, 2, 2], "channels": 64, "conv_blocks": 2},
    ),
    (
        _variant("m", 17_410_504, 3_928_765_952, 79.0),
        {"blocks": [3, 6, 3], "dims": [128, 256, 512], "mlp_ratios": [3, 3, 3], "channels": 64, "conv_blocks": 3},
    ),
    (
        _variant("l", 42_728_440, 9_869_797_632, 80.2),
        {"blocks": [4, 8, 3], "dims": [192, 384, 768], "mlp_ratios": [3, 3, 3], "channels": 96, "conv_blocks": 3},
    ),
)

register_family(ConvMLP, VARIANTS)
