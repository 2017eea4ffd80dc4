"""CycleMLP: a pyramid of blocks that mix positions through cycled channel shifts, then channels.

Paper: CycleMLP: A MLP-like Architecture for Dense Prediction, https://arxiv.org/abs/2107.10224 (figures 2 and 3). Names
are the paper's: S_H and S_W, the fully-connected layers over height and width, are ``fc_h`` and ``fc_w``. As in the
authors' code, ``fc_h`` has the stepsize 1x3 and reads along the width, ``fc_w`` 3x1 and reads along the height.
"""

from __future__ import annotations

import re
from typing import Dict, List, Sequence, Tuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle import nn

from ppcls.arch.backbone.base import Backbone, FeatureInfo, require_positive
from ppcls.arch.layers import conv2d
from ppcls.arch.layers.cycle_fc import CycleFC
from ppcls.arch.layers.drop_path import DropPath, drop_path_rates
from ppcls.arch.registry import register_family
from ppcls.arch.spec import ModelSpec
from ppcls.errors import ConfigError


class MLP(nn.Layer):
    """Two fully-connected layers over channels with GELU between, [..., dim] -> [..., out_dim]."""

    def __init__(self, dim: int, hidden_dim: int, out_dim: int, drop_rate: float = 0.0) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, out_dim)
        self.drop = nn.Dropout(drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return fc2(GELU(fc1(x)))."""
        return self.drop(self.fc2(self.drop(F.gelu(self.fc1(x)))))


class CycleMixer(nn.Layer):
    """Cycle FCs along both axes and a channel FC, weighed per image and channel; keeps [B, H, W, dim]."""

    def __init__(self, dim: int, kernel_size: int, qkv_bias: bool, attn_drop_rate: float) -> None:
        super().__init__()
        self.fc_c = nn.Linear(dim, dim, bias_attr=None if qkv_bias else False)
        self.fc_h = CycleFC(dim, dim, (1, kernel_size))
        self.fc_w = CycleFC(dim, dim, (kernel_size, 1))
        self.reweight = MLP(dim, dim // 4, dim * 3)
        self.proj = nn.Linear(dim, dim)
        self.drop = nn.Dropout(attn_drop_rate)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return proj(a_h * h + a_w * w + a_c * c), where the a of a channel sum to 1."""
        h, w, c = self.fc_h(x), self.fc_w(x), self.fc_c(x)
        a = self.reweight((h + w + c).mean([1, 2]))  # [B, dim * 3], a channel's three values side by side
        a = F.softmax(a.reshape([-1, 1, 1, x.shape[-1], 3]))
        # Expanded first, because Paddle's CPU kernels multiply equal shapes several times faster than they broadcast.
        a_h, a_w, a_c = (one.expand_as(x) for one in paddle.unbind(a, -1))  # each [B, 1, 1, dim]
        return self.drop(self.proj(h * a_h + w * a_w + c * a_c))


class Block(nn.Layer):
    """Mixes positions, then channels, each normalised before and with a residual around; keeps [B, H, W, dim]."""

    def __init__(self, mixer: CycleMixer, mlp: MLP, dim: int, drop_path_rate: float, skip_lam: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.mixer = mixer
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = mlp
        self.drop_path = DropPath(drop_path_rate)
        self.skip_lam = skip_lam

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the block's output."""
        x = x + self.branch(self.mixer(self.norm1(x)))
        return x + self.branch(self.mlp(self.norm2(x)))

    def branch(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return a residual branch's contribution."""
        x = self.drop_path(x)
        return x if self.skip_lam == 1 else x / self.skip_lam


class Stage(nn.Layer):
    """Blocks of one width, after a convolution that halves the map (not in the first stage); all NHWC."""

    def __init__(self, in_dim: int, dim: int, blocks: Sequence[Block], downsamples: bool) -> None:
        super().__init__()
        self.downsample = conv2d(in_dim, dim, 3, stride=2, padding=1) if downsamples else None
        self.blocks = nn.LayerList(blocks)


class CycleMLP(Backbone):
    """CycleMLP with one width, number of blocks and MLP ratio for each stage (table 1 and appendix A of the paper).

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
        rates = {"drop_rate": drop_rate, "attn_drop_rate": attn_drop_rate, "drop_path_rate": drop_path_rate}
        _check(layers, embed_dims, mlp_ratios, **rates)
        require_positive(kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ConfigError(f"kernel_size: expected an odd number, got {kernel_size}")
        if skip_lam <= 0:
            raise ConfigError(f"skip_lam: expected a positive number, got {skip_lam!r}")
        super().__init__(embed_dims[-1], in_channels, 4, recompute)
        self.layers = list(layers)
        self.stem = conv2d(in_channels, embed_dims[0], 7, stride=4, padding=2)
        drop_paths = iter(drop_path_rates(drop_path_rate, sum(layers)))
        self.stages = nn.LayerList()
        for index, (depth, dim, ratio) in enumerate(zip(layers, embed_dims, mlp_ratios)):
            blocks = []
            for _ in range(depth):
                mixer = CycleMixer(dim, kernel_size, qkv_bias, attn_drop_rate)
                blocks.append(Block(mixer, MLP(dim, int(dim * ratio), dim, drop_rate), dim, next(drop_paths), skip_lam))
            self.stages.append(Stage(embed_dims[max(index - 1, 0)], dim, blocks, downsamples=index > 0))
        self.norm = nn.LayerNorm(embed_dims[-1])
        self.feature_info = [FeatureInfo(dim, 4 * 2**index) for index, dim in enumerate(embed_dims)]
        self.apply(_initialise)
        self.reset_classifier(class_num)

    def reset_classifier(self, class_num: int) -> None:
        """Replace the classifier by one initialised as the authors'; see ``Backbone``."""
        super().reset_classifier(class_num)
        if self.head is not None:
            _initialise(self.head)

    def forward_features(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the last map after its norm, [B, in, H, W] -> [B, C, H', W'], H' about H / 32.

        Raises:
            ConfigError: the image is smaller than a patch or has another number of channels.
        """
        return _nchw(self.norm(self._maps(x)[-1]))

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return each stage's map, normalised over channels.

        The authors' dense networks put a norm of its own on each map. Classification weights have only the last;
        the others are normalised without scale and shift, which is how training such norms begins.
        """
        *earlier, last = self._maps(x)
        return [*(_nchw(F.layer_norm(m, m.shape[-1:])) for m in earlier), _nchw(self.norm(last))]

    def _maps(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return each stage's map, [B, H', W', C']."""
        self.check_input(x)
        x, maps = self.stem(x), []
        for stage in self.stages:
            x = x if stage.downsample is None else stage.downsample(_nchw(x))
            x = x.transpose([0, 2, 3, 1])
            for block in stage.blocks:
                x = self.run(block, x)
            maps.append(x)
        return maps

    def torch_buffers(self, name: str) -> Dict[str, np.ndarray]:
        """Return where the authors' cycle FCs sample, which their state dicts hold; see ``Backbone``."""
        place = re.fullmatch(r"stages\.(\d+)\.blocks\.(\d+)\.mixer\.(fc_[hw])\.bias", name)
        if place is None:
            return super().torch_buffers(name)
        mixer = self.stages[int(place[1])].blocks[int(place[2])].mixer
        return {"offset": getattr(mixer, place[3]).offsets()}

    def depth_of(self, name: str) -> int:
        """Return 0 for the stem, then the block's number over all stages, and one more for the head.

        A stage's convolution belongs to its first block, the last norm to the last block.

        Raises:
            ValueError: there is no such place in this architecture.
        """
        outside = {"stem": 0, "norm": sum(self.layers), "head": sum(self.layers) + 1}
        if name.partition(".")[0] in outside:
            return outside[name.partition(".")[0]]
        place = re.match(r"stages\.(\d+)\.(?:downsample|blocks\.(\d+))(\.|$)", name)
        stage, block = (int(place[1]), int(place[2] or 0)) if place else (0, 0)
        if place is None or stage >= len(self.layers) or block >= self.layers[stage]:
            raise ValueError(f"CycleMLP has no parameter {name!r}")
        return sum(self.layers[:stage]) + block + 1


def _nchw(x: paddle.Tensor) -> paddle.Tensor:
    return x.transpose([0, 3, 1, 2])


def _initialise(layer: nn.Layer) -> None:
    """Draw the weights as the authors' code: their normal is cut at 100 standard deviations, which is nowhere."""
    if isinstance(layer, (nn.Linear, CycleFC)):
        nn.initializer.Normal(std=0.02)(layer.weight)
        if layer.bias is not None:
            nn.initializer.Constant(0.0)(layer.bias)


def _check(layers: Sequence[int], embed_dims: Sequence[int], mlp_ratios: Sequence[float], **rates: float) -> None:
    if not layers or not len(layers) == len(embed_dims) == len(mlp_ratios):
        counts = f"{len(layers)}, {len(embed_dims)} and {len(mlp_ratios)}"
        raise ConfigError(f"layers, embed_dims, mlp_ratios: expected one value each for every stage, got {counts}")
    for depth, dim, ratio in zip(layers, embed_dims, mlp_ratios):
        require_positive(layers=depth, embed_dims=dim)
        if dim < 4:  # the reweighting MLP has a quarter of the width
            raise ConfigError(f"embed_dims: expected at least 4, got {dim}")
        if int(dim * ratio) < 1:
            raise ConfigError(f"mlp_ratios: expected numbers that leave a hidden width, got {ratio!r}")
    for name, rate in rates.items():
        if not 0 <= rate < 1:
            raise ConfigError(f"{name}: expected a number from 0 to below 1, got {rate!r}")


def _variant(
    size: int, macs: int, params: int, top1: float, crop_pct: float, stages: Tuple[Sequence[int], ...]
) -> Tuple[ModelSpec, dict]:
    layers, embed_dims, mlp_ratios = stages
    facts = ModelSpec(
        name=f"CycleMLP_B{size}",
        family="CycleMLP",
        params=params,
        macs=macs,
        top1=top1,
        image_size=224,
        crop_pct=crop_pct,
        paper="https://arxiv.org/abs/2107.10224",
        url=f"https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B{size}.pth",
        licence="MIT",
    )
    return facts, {"layers": layers, "embed_dims": embed_dims, "mlp_ratios": mlp_ratios}


# The paper's 2.1, 3.9, 6.9, 10.1 and 12.3 G are these plus five operations for each element of each norm.
VARIANTS = (
    _variant(1, 2_121_523_200, 15_155_400, 78.9, 0.9, ([2, 2, 4, 2], [64, 128, 320, 512], [4, 4, 4, 4])),
    _variant(2, 3_875_766_272, 26_802_504, 81.6, 0.9, ([2, 3, 10, 3], [64, 128, 320, 512], [4, 4, 4, 4])),
    _variant(3, 6_830_968_832, 38_385_720, 82.4, 0.9, ([3, 4, 18, 3], [64, 128, 320, 512], [8, 8, 4, 4])),
    _variant(4, 10_027_163_648, 51_796_552, 83.0, 0.875, ([3, 8, 27, 3], [64, 128, 320, 512], [8, 8, 4, 4])),
    _variant(5, 12_232_436_736, 75_747_280, 83.2, 0.875, ([3, 4, 24, 3], [96, 192, 384, 768], [4, 4, 4, 4])),
)

register_family(CycleMLP, VARIANTS)
