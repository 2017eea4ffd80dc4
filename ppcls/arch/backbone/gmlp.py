"""gMLP: channel projections with a spatial gating unit between them.

Paper: Pay Attention to MLPs, https://arxiv.org/abs/2105.08050 (figure 1, section 2).
"""

from __future__ import annotations

import math
import re
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import paddle
from paddle import nn
from paddle.nn.initializer import Constant, Normal, XavierUniform

from ppcls.arch.backbone.base import Backbone, FeatureInfo, ImageSize, require_positive
from ppcls.arch.layers import DropPath, checked_rate, drop_path_rates, truncated_normal_
from ppcls.arch.registry import register_family
from ppcls.arch.resizing import likely_grid, resize_spatial_bias, resize_spatial_weight
from ppcls.arch.spec import ModelSpec
from ppcls.errors import ConfigError


class SpatialProjection(nn.Linear):
    """W Z + b over the tokens, [B, n, C] -> [B, n, C]; W is near 0 and b is 1 at first.

    A quarter faster than transposing the tokens to the end and back (forward and backward, n = 196).
    """

    def __init__(self, tokens: int) -> None:
        super().__init__(tokens, tokens, weight_attr=Normal(std=1e-6), bias_attr=Constant(1.0))

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        """Return W z + b; the weight is [tokens in, tokens out], as of every projection."""
        return paddle.matmul(self.weight, z, transpose_x=True) + self.bias.unsqueeze(-1)


class SpatialGatingUnit(nn.Layer):
    """Gates one half of the channels by a projection of the other half over the tokens (section 2.1).

    s(Z) = Z1 * (W norm(Z2) + b), [B, n, d_ffn] -> [B, n, d_ffn / 2]; it begins as s(Z) = Z1.
    """

    def __init__(self, ffn_dim: int, tokens: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(ffn_dim // 2)
        self.spatial_proj = SpatialProjection(tokens)

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        """Return s(z)."""
        u, v = z.chunk(2, axis=-1)
        return u * self.spatial_proj(self.norm(v))


class Block(nn.Layer):
    """Channel projection U, gating, channel projection V, with a residual around them; keeps [B, n, d_model]."""

    def __init__(self, dim: int, ffn_dim: int, tokens: int, drop: float, drop_path: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, epsilon=1e-6)
        self.proj_in = _linear(dim, ffn_dim)
        self.sgu = SpatialGatingUnit(ffn_dim, tokens)
        self.proj_out = _linear(ffn_dim // 2, dim)
        self.dropout = nn.Dropout(drop)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return x + V s(GELU(U norm(x)))."""
        z = self.dropout(nn.functional.gelu(self.proj_in(self.norm(x))))
        return x + self.drop_path(self.dropout(self.proj_out(self.sgu(z))))


def _linear(in_features: int, out_features: int) -> nn.Linear:
    return nn.Linear(in_features, out_features, weight_attr=XavierUniform(), bias_attr=Normal(std=1e-6))


def _patch_embedding(in_channels: int, dim: int, patch_size: int) -> nn.Conv2D:
    conv = nn.Conv2D(in_channels, dim, patch_size, stride=patch_size, bias_attr=Constant(0.0))
    truncated_normal_(conv.weight, std=1 / math.sqrt(in_channels * patch_size**2))  # LeCun
    return conv


class gMLP(Backbone):  # noqa: N801 (the paper's name)
    """gMLP for images (sections 2 and 3).

    The spatial projections are made for one image size. Weights for another number of tokens are resized when they
    are loaded, on the assumption that they come from a square image, or else from one of this model's proportions;
    weights for as many tokens are taken as they are. Where that is wrong, give ``load_weights`` their ``image_size``.

    Args:
        dim: d_model, the width of the patch embeddings.
        depth: L, the number of blocks.
        mlp_ratio: d_ffn / d_model.
        patch_size: in pixels.
        image_size: of the input in pixels, one number or [height, width]; the rest of a patch is left out.
        drop_rate: dropout before the classifier.
        proj_drop_rate: dropout after the channel projections.
        drop_path_rate: stochastic depth of the last block; the first has none.
        drop_path_schedule: "linear" (the paper's reference for it) or "constant" (timm: all blocks alike).
        class_num: outputs of the classifier; 0 gives the pooled features instead.
        in_channels: channels of the input image.
        recompute: trade time for memory by gradient checkpointing.

    Raises:
        ConfigError: a size that is not positive, an odd d_ffn, an image smaller than a patch, a rate out of range.
    """

    first_conv = "stem.weight"

    def __init__(
        self,
        dim: int,
        depth: int,
        mlp_ratio: Union[int, float] = 6,
        patch_size: int = 16,
        image_size: Union[int, List[int]] = 224,
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        drop_path_schedule: str = "linear",
        class_num: int = 1000,
        in_channels: int = 3,
        recompute: bool = False,
    ) -> None:
        ffn_dim = int(dim * mlp_ratio)
        require_positive(dim=dim, depth=depth, mlp_ratio=ffn_dim)
        if ffn_dim % 2:
            raise ConfigError(f"mlp_ratio: expected an even dim * mlp_ratio, which the gating halves, got {ffn_dim}")
        super().__init__(dim, in_channels, patch_size, recompute)
        self.depth = depth
        self.image_size = _height_and_width(image_size, patch_size)
        self.grid = self._grid_of(self.image_size)
        tokens, drop = self.grid[0] * self.grid[1], checked_rate("proj_drop_rate", proj_drop_rate)
        self.stem = _patch_embedding(in_channels, dim, patch_size)
        self.blocks = nn.LayerList(
            [Block(dim, ffn_dim, tokens, drop, rate) for rate in _rates(drop_path_rate, depth, drop_path_schedule)]
        )
        self.norm = nn.LayerNorm(dim, epsilon=1e-6)
        self.dropout = nn.Dropout(checked_rate("drop_rate", drop_rate))
        # The maps of an isotropic network differ by depth alone: one a quarter of the blocks.
        self.feature_blocks = sorted({(depth * quarter + 3) // 4 - 1 for quarter in (1, 2, 3, 4)})
        self.feature_info = [FeatureInfo(dim, patch_size)] * len(self.feature_blocks)
        self.reset_classifier(class_num)

    def new_head(self, class_num: int) -> nn.Linear:
        """Return a classifier of zeros, as timm's, [B, dim] -> [B, class_num]."""
        return nn.Linear(self.num_features, class_num, weight_attr=Constant(0.0), bias_attr=Constant(0.0))

    def forward_features(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the last map, normalised, [B, in, H, W] -> [B, dim, H / patch_size, W / patch_size].

        Raises:
            ConfigError: the image is not of ``image_size`` or has another number of channels.
        """
        return self.features(x)[-1]

    def forward_head(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return logits [B, class_num] of the last map [B, dim, H', W']."""
        x = self.dropout(x.mean([2, 3]))
        return x if self.head is None else self.head(x)

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps after each quarter of the blocks, each [B, dim, H', W'], the last one normalised."""
        self.check_input(x)
        x = self.stem(x).flatten(2).transpose([0, 2, 1])  # [B, n, dim]
        maps = []
        for index, block in enumerate(self.blocks):
            x = self.run(block, x)
            if index in self.feature_blocks:
                tokens = self.norm(x) if index + 1 == self.depth else x
                maps.append(tokens.transpose([0, 2, 1]).reshape([0, 0, *self.grid]))
        return maps

    def check_input(self, x: paddle.Tensor) -> None:
        """Refuse images that the spatial projections were not made for.

        Raises:
            ConfigError: not [B, in_channels, H, W] with the patches of ``image_size``.
        """
        Backbone.check_input(self, x)  # paddle 2 cannot export super()
        if not paddle.in_dynamic_mode():
            return
        height, width = x.shape[2:]
        if self._grid_of((height, width)) != self.grid:
            raise ConfigError(
                f"image_size is {list(self.image_size)}, got an image of {height}x{width} px: build the model with "
                f"image_size [{height}, {width}]; weights of another size are resized when they are loaded"
            )

    def adapt(self, name: str, array: np.ndarray, image_size: ImageSize = None) -> np.ndarray:
        """Return weights of another number of image channels or of another image size, made to fit."""
        place = re.fullmatch(r"blocks\.\d+\.sgu\.spatial_proj\.(weight|bias)", name)
        if place is None:
            return super().adapt(name, array, image_size)
        tokens, axes = len(array), 2 if place[1] == "weight" else 1
        if image_size is not None:
            source: Optional[Tuple[int, int]] = self._grid_of(_height_and_width(image_size, self.patch_size))
        else:
            same = tokens == self.grid[0] * self.grid[1]
            source = self.grid if same else likely_grid(tokens, self.grid)
        if source in (None, self.grid) or array.shape != (source[0] * source[1],) * axes:
            return array
        resize = resize_spatial_weight if place[1] == "weight" else resize_spatial_bias
        return resize(array, source, self.grid)

    def depth_of(self, name: str) -> int:
        """Return 0 for the stem, 1 to L for the blocks, the last of which has the final norm, L + 1 for the head.

        Raises:
            ValueError: there is no such place in this architecture.
        """
        part, _, rest = name.partition(".")
        if part in ("stem", "norm", "head"):
            return {"stem": 0, "norm": self.depth, "head": self.depth + 1}[part]
        block = re.match(r"(\d+)(\.|$)", rest)
        if part != "blocks" or block is None or int(block[1]) >= self.depth:
            raise ValueError(f"gMLP has no parameter {name!r}")
        return int(block[1]) + 1

    def _grid_of(self, size: Tuple[int, int]) -> Tuple[int, int]:
        return size[0] // self.patch_size, size[1] // self.patch_size


def _height_and_width(image_size: Union[int, Sequence[int]], patch_size: int) -> Tuple[int, int]:
    sizes = [image_size, image_size] if isinstance(image_size, int) else list(image_size)
    if len(sizes) != 2:
        raise ConfigError(f"image_size: expected one number or [height, width], got {image_size!r}")
    for size in sizes:
        require_positive(image_size=size)
        if size < patch_size:
            raise ConfigError(f"image_size: {image_size} px is smaller than a patch of {patch_size} px")
    return sizes[0], sizes[1]


def _rates(rate: float, depth: int, schedule: str) -> List[float]:
    if schedule not in ("linear", "constant"):
        raise ConfigError(f"drop_path_schedule: expected 'linear' or 'constant', got {schedule!r}")
    return drop_path_rates(rate, depth) if schedule == "linear" else [checked_rate("drop_path_rate", rate)] * depth


def _variant(
    name: str, params: int, macs: int, top1: float, url: Optional[str] = None, sha256: Optional[str] = None
) -> ModelSpec:
    return ModelSpec(
        name=name,
        family="gMLP",
        params=params,
        macs=macs,
        top1=top1,
        image_size=224,
        crop_pct=0.875,
        paper="https://arxiv.org/abs/2105.08050",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        url=url,
        sha256=sha256,
        licence="Apache-2.0" if url else None,
    )


_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights"
VARIANTS = (
    (_variant("gMLP_Ti16", 5_867_328, 1_328_989_184, 72.3), {"dim": 128, "depth": 30}),
    (
        _variant("gMLP_S16", 19_422_656, 4_392_060_928, 79.6, f"{_TIMM}/gmlp_s16_224_raa-10536d42.pth", "10536d42"),
        {"dim": 256, "depth": 30},
    ),
    (_variant("gMLP_B16", 73_075_392, 15_720_452_096, 81.6), {"dim": 512, "depth": 30}),
)

register_family(gMLP, VARIANTS)
