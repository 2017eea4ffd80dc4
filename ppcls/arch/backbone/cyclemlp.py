"""CycleMLP: a pyramid of blocks that mix positions through cycled channel shifts, then channels.

Paper: CycleMLP: A MLP-like Architecture for Dense Prediction, https://arxiv.org/abs/2107.10224 (figures 2 and 3). Names
are the paper's: S_H and S_W, the fully-connected layers over height and width, are ``fc_h`` and ``fc_w``. As in the
authors' code, ``fc_h`` has the stepsize 1x3 and reads along the width, ``fc_w`` 3x1 and reads along the height.
"""

from __future__ import annotations

import functools
from typing import List, Optional, Sequence

import paddle
import paddle.nn.functional as F
from paddle import nn
from paddle.nn.initializer import Constant, Normal

from ppcls.arch import ops
from ppcls.arch.backbone.base import Depth, FeatureInfo, hidden_width, require_odd, require_stages
from ppcls.arch.backbone.pyramid import PyramidBackbone
from ppcls.arch.layers import (
    MLP,
    Conv2D,
    CycleFC,
    DropPath,
    LayerNorm,
    add_branch,
    call_on_map,
    conv2d,
    drop_path_rates,
    map_to_nhwc,
    normal_linear,
    to_map,
)
from ppcls.arch.layers.layout import to_nchw
from ppcls.arch.model_spec import ModelSpec
from ppcls.arch.registry import register_family
from ppcls.registry.checks import require_fraction, require_int, require_positive


class CycleMLP(PyramidBackbone):
    """CycleMLP with one width, number of blocks and MLP ratio for each stage (table 1 and appendix A of the paper).

    Initialised as the authors' code: projections from N(0, 0.02), convolutions as PyTorch's.

    Args:
        layers: number of blocks in each stage.
        embed_dims: width of each stage.
        mlp_ratios: hidden width of each stage's channel MLPs, in widths.
        kernel_size: the stepsize of the cycle FCs, in positions; odd.
        qkv_bias: give the channel FC of the mixers a bias, which the paper does not.
        skip_lam: divides each residual branch.
        drop_rate: dropout inside the channel MLPs; the authors' constructor takes it and applies none.
        attn_drop_rate: dropout after the mixers' projection; the authors' constructor takes it and applies none.
        drop_path_rate: of the last block; grows linearly from 0 in the first, over all stages.
        class_num: outputs of the classifier; 0 gives the pooled features instead.
        in_channels: channels of the input image.
        recompute: trade time for memory by gradient checkpointing.

    Raises:
        ConfigError: a size that is not positive, lists of different lengths, an even kernel size, or a rate out of
            range.
    """

    first_conv = "stem.weight"
    depths = (("stem", Depth.STEM), *PyramidBackbone.depths)

    def __init__(
        self,
        layers: Sequence[int],
        embed_dims: Sequence[int],
        mlp_ratios: Sequence[float],
        kernel_size: int = 3,
        qkv_bias: bool = False,
        skip_lam: float = 1.0,
        drop_rate: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        class_num: int = 1000,
        in_channels: int = 3,
        recompute: bool = False,
    ) -> None:
        require_stages(layers=layers, embed_dims=embed_dims, mlp_ratios=mlp_ratios)
        for depth, dim in zip(layers, embed_dims):
            require_int("layers", depth, 1)
            require_int("embed_dims", dim, 4)  # the reweighting MLP has a quarter of the width
        require_odd("kernel_size", kernel_size)
        require_fraction("drop_rate", drop_rate)
        require_fraction("attn_drop_rate", attn_drop_rate)
        require_positive("skip_lam", skip_lam)
        super().__init__(embed_dims[-1], in_channels, 4, recompute)
        self.stem = conv2d(in_channels, embed_dims[0], 7, stride=4, padding=2)
        drop_paths = iter(drop_path_rates(drop_path_rate, sum(layers)))
        self.stages = nn.LayerList()
        for index, (depth, dim, ratio) in enumerate(zip(layers, embed_dims, mlp_ratios)):
            downsample = (
                conv2d(embed_dims[index - 1], dim, 3, stride=2, padding=1, channels_last=True) if index else None
            )
            blocks = []
            for _ in range(depth):
                mixer = CycleMixer(dim, kernel_size, qkv_bias, attn_drop_rate)
                mlp = MLP(dim, hidden_width("mlp_ratios", dim, ratio), dim, drop_rate)
                blocks.append(Block(mixer, mlp, dim, next(drop_paths), skip_lam))
            self.stages.append(Stage(downsample, blocks))
        self.norm = LayerNorm(embed_dims[-1])
        self.feature_info = [FeatureInfo(dim, 4 * 2**index) for index, dim in enumerate(embed_dims)]
        self.reset_classifier(class_num)

    def forward_features(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the last map after its norm, [B, in, H, W] -> [B, C, H', W'], H' about H / 32; see ``Backbone``."""
        return to_nchw(self.norm(self._maps(x)[-1]))

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return each stage's map, normalised over channels; see ``Backbone``.

        The authors' dense networks have one norm per map, classification weights only the last one. The other maps are
        normalised without scale and shift, which is how such norms begin.
        """
        *earlier, last = self._maps(x)
        return [*(to_nchw(F.layer_norm(m, m.shape[-1:])) for m in earlier), to_nchw(self.norm(last))]

    def _maps(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return each stage's map, [B, H', W', C']."""
        self.check_input(x)
        x, maps = map_to_nhwc(call_on_map(self.stem, to_map(x), Conv2D)), []
        for stage in self.stages:
            x = x if stage.downsample is None else stage.downsample(x)
            for block in stage.blocks:
                x = self.run(block, x)
            maps.append(x)
        return maps


def _downsampling(in_channels: int, out_channels: int) -> nn.Conv2D:
    return conv2d(in_channels, out_channels, 3, stride=2, padding=1, channels_last=True)


class Stage(nn.Layer):
    """Blocks of one width, after a convolution that halves the map (not in the first stage)."""

    def __init__(self, downsample: Optional[nn.Conv2D], blocks: Sequence[Block]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.LayerList(blocks)


class Block(nn.Layer):
    """Mixes positions, then channels, each with a norm before it and a residual around it; keeps [B, H, W, dim]."""

    def __init__(self, mixer: CycleMixer, mlp: MLP, dim: int, drop_path_rate: float, skip_lam: float) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.mixer = mixer
        self.norm2 = LayerNorm(dim)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path_rate)
        self.skip_lam = skip_lam

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the block's output."""
        x = self.add(x, self.mixer(self.norm1(x)))
        return self.add(x, self.mlp(self.norm2(x)))

    def add(self, x: paddle.Tensor, branch: paddle.Tensor) -> paddle.Tensor:
        """Return x plus a residual branch's contribution."""
        return add_branch(x, branch if self.skip_lam == 1 else branch / self.skip_lam, self.drop_path)


class CycleMixer(nn.Layer):
    """Cycle FCs along both axes and a channel FC, weighed per image and channel; keeps [B, H, W, dim]."""

    def __init__(self, dim: int, kernel_size: int, qkv_bias: bool, attn_drop_rate: float) -> None:
        super().__init__()
        self.fc_c = normal_linear(dim, dim, bias=qkv_bias)
        self.fc_h = CycleFC(dim, dim, (1, kernel_size), Normal(std=0.02), Constant(0.0))
        self.fc_w = CycleFC(dim, dim, (kernel_size, 1), Normal(std=0.02), Constant(0.0))
        self.reweight = MLP(dim, dim // 4, dim * 3)
        self.proj = normal_linear(dim, dim)
        self.drop = nn.Dropout(attn_drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return proj(a_h * h + a_w * w + a_c * c), where the three weights of a channel sum to 1."""
        h, w, c = self.fc_h(x), self.fc_w(x), self.fc_c(x)
        a = self.reweight(ops.spatial_mean(h + w + c))  # [B, dim * 3], a channel's three values side by side
        a = F.softmax(a.reshape([-1, 1, 1, x.shape[-1], 3]))
        return self.drop(self.proj(ops.weighted_sum((h, w, c), paddle.unbind(a, -1))))  # weights [B, 1, 1, dim]


_spec = functools.partial(
    ModelSpec, family="CycleMLP", image_size=224, paper="https://arxiv.org/abs/2107.10224", licence="MIT"
)
_URL = "https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1"
_NARROW, _WIDE = [64, 128, 320, 512], [96, 192, 384, 768]
# The paper's 2.1, 3.9, 6.9, 10.1 and 12.3 G multiply-adds are these plus five operations for each element of each norm.
VARIANTS = tuple(
    (
        _spec(f"CycleMLP_B{i}", params=params, macs=macs, top1=top1, crop_pct=crop, url=f"{_URL}/CycleMLP_B{i}.pth"),
        {"layers": layers, "embed_dims": embed_dims, "mlp_ratios": mlp_ratios},
    )
    for i, params, macs, top1, crop, layers, embed_dims, mlp_ratios in (
        (1, 15_155_400, 2_121_523_200, 78.9, 0.9, [2, 2, 4, 2], _NARROW, [4, 4, 4, 4]),
        (2, 26_802_504, 3_875_766_272, 81.6, 0.9, [2, 3, 10, 3], _NARROW, [4, 4, 4, 4]),
        (3, 38_385_720, 6_830_968_832, 82.4, 0.9, [3, 4, 18, 3], _NARROW, [8, 8, 4, 4]),
        (4, 51_796_552, 10_027_163_648, 83.0, 0.875, [3, 8, 27, 3], _NARROW, [8, 8, 4, 4]),
        (5, 75_747_280, 12_232_436_736, 83.2, 0.875, [3, 4, 24, 3], _WIDE, [4, 4, 4, 4]),
    )
)

register_family(CycleMLP, VARIANTS)
