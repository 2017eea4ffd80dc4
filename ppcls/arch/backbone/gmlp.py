"""gMLP: channel projections with a spatial gating unit between them.

Paper: Pay Attention to MLPs, https://arxiv.org/abs/2105.08050 (figure 1, section 2).
"""

from __future__ import annotations

import functools
import math
from typing import List, Union

import paddle
from paddle import nn
from paddle.nn.initializer import Constant, Normal, XavierUniform

from ppcls.arch import ops
from ppcls.arch.backbone.base import hidden_width, require_sizes
from ppcls.arch.backbone.fixed_size import FixedSizeBackbone
from ppcls.arch.layers import (
    Conv2D,
    DropPath,
    LayerNorm,
    Linear,
    TruncatedNormal,
    add_branch,
    call_on_map,
    conv2d,
    drop_path_rates,
    linear,
    map_to_nhwc,
    may_fuse,
    pooled,
    to_map,
)
from ppcls.arch.model_spec import ModelSpec
from ppcls.arch.registry import register_family
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_fraction


class gMLP(FixedSizeBackbone):  # noqa: N801 (the paper's name)
    """gMLP for images (sections 2 and 3).

    Initialised as timm's: Xavier for projections, LeCun for the patch embedding, zeros for the classifier. The spatial
    projections are made for one image size; weights of another size are resized when they are loaded.

    Args:
        dim: d_model, the width of the patch embeddings.
        depth: L, the number of blocks.
        mlp_ratio: d_ffn / d_model.
        patch_size: in pixels.
        image_size: of the input in pixels, one number or [height, width].
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
    spatial_layers = r"blocks\.\d+\.sgu\.spatial_proj"

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
        require_sizes(dim=dim, depth=depth)
        ffn_dim = hidden_width("mlp_ratio", dim, mlp_ratio)
        if ffn_dim % 2:
            raise ConfigError(f"mlp_ratio: must make dim * mlp_ratio even, which the gating halves, not {ffn_dim}")
        super().__init__(dim, depth, in_channels, patch_size, image_size, recompute)
        tokens, drop = self.grid[0] * self.grid[1], require_fraction("proj_drop_rate", proj_drop_rate)
        lecun_normal = TruncatedNormal(std=1 / math.sqrt(in_channels * patch_size**2))
        self.stem = conv2d(
            in_channels, dim, patch_size, stride=patch_size, weight_init=lecun_normal, bias_init=Constant(0.0)
        )
        rates = drop_path_rates(drop_path_rate, depth, drop_path_schedule)
        self.blocks = nn.LayerList([Block(dim, ffn_dim, tokens, drop, rate) for rate in rates])
        self.norm = LayerNorm(dim, epsilon=1e-6)
        self.dropout = nn.Dropout(require_fraction("drop_rate", drop_rate))
        self.reset_classifier(class_num)

    def new_head(self, class_num: int) -> nn.Linear:
        """Return a classifier of zeros, as timm's, [B, dim] -> [B, class_num]."""
        return linear(self.num_features, class_num, weight_init=Constant(0.0), bias_init=Constant(0.0))

    def forward_head(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return logits [B, class_num] of the last map [B, dim, H', W']."""
        x = self.dropout(pooled(x))
        return x if self.head is None else self.head(x)

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps after each quarter of the blocks, the last one normalised; see ``Backbone``.

        [B, in, H, W] -> [B, dim, H / patch_size, W / patch_size] each. Images of another size than ``image_size``
        are a ConfigError.
        """
        self.check_input(x)
        x = map_to_nhwc(call_on_map(self.stem, to_map(x), Conv2D)).flatten(1, 2)  # [B, n, dim]
        *earlier, last = self.run_blocks(x)
        return [tokens.transpose([0, 2, 1]).reshape([0, 0, *self.grid]) for tokens in (*earlier, self.norm(last))]


class Block(nn.Layer):
    """Channel projection U, gating, channel projection V, with a residual around them; keeps [B, n, d_model]."""

    def __init__(self, dim: int, ffn_dim: int, tokens: int, drop: float, drop_path: float) -> None:
        super().__init__()
        self.norm = LayerNorm(dim, epsilon=1e-6)
        self.proj_in = linear(dim, ffn_dim, weight_init=XavierUniform(), bias_init=Normal(std=1e-6))
        self.sgu = SpatialGatingUnit(ffn_dim, tokens)
        self.proj_out = linear(ffn_dim // 2, dim, weight_init=XavierUniform(), bias_init=Normal(std=1e-6))
        self.dropout = nn.Dropout(drop)
        self.drop_path = DropPath(drop_path)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return x + V s(GELU(U norm(x)))."""
        z = self.dropout(ops.gelu(self._project_in(self.norm(x))))
        return add_branch(x, self.dropout(self.proj_out(self.sgu(z))), self.drop_path)

    def _project_in(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return U x, [B, n, d_ffn], or its halves, [2, B, n, d_ffn / 2], if nothing but the gating sees them."""
        layers = (self.proj_in, Linear), (self.dropout, nn.Dropout), (self.sgu, SpatialGatingUnit)
        if not all(may_fuse(*layer) for layer in layers) or not self.sgu.takes_halves():
            return self.proj_in(x)
        if self.proj_in.bias is None or self.dropout.axis is not None:
            return self.proj_in(x)
        return ops.linear_halves(x, self.proj_in.weight, self.proj_in.bias)


class SpatialGatingUnit(nn.Layer):
    """Gates one half of the channels by a projection of the other half over the tokens (section 2.1).

    s(Z) = Z1 * (W norm(Z2) + b), [B, n, d_ffn] -> [B, n, d_ffn / 2]; it begins as s(Z) = Z1. Z may be given as its
    halves, [2, B, n, d_ffn / 2], if ``takes_halves``.
    """

    def __init__(self, ffn_dim: int, tokens: int) -> None:
        super().__init__()
        self.norm = LayerNorm(ffn_dim // 2)
        self.spatial_proj = SpatialProjection(tokens)

    def takes_halves(self) -> bool:
        """Return whether one operator may compute what the layers do."""
        return may_fuse(self.norm, LayerNorm) and may_fuse(self.spatial_proj, SpatialProjection)

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        """Return s(z)."""
        if z.ndim == 3:
            u, v = z.chunk(2, axis=-1)
            return u * self.spatial_proj(self.norm(v))
        norm, proj = self.norm, self.spatial_proj
        assert norm.weight is not None and norm.bias is not None
        return ops.spatial_gating(
            z, ops.GatingParameters(norm.weight, norm.bias, proj.weight, proj.bias), norm._epsilon
        )


class SpatialProjection(nn.Linear):
    """W Z + b over the tokens, [B, n, C] -> [B, n, C]; W is near 0 and b is 1 at first.

    A quarter faster than transposing the tokens to the end and back (forward and backward, n = 196).
    """

    def __init__(self, tokens: int) -> None:
        super().__init__(tokens, tokens, weight_attr=Normal(std=1e-6), bias_attr=Constant(1.0))

    def forward(self, z: paddle.Tensor) -> paddle.Tensor:
        """Return W z + b; the weight is [tokens in, tokens out], as of every projection."""
        return paddle.matmul(self.weight, z, transpose_x=True) + self.bias.unsqueeze(-1)


_HALF = (0.5, 0.5, 0.5)
_spec = functools.partial(
    ModelSpec,
    family="gMLP",
    image_size=224,
    crop_pct=0.875,
    mean=_HALF,
    std=_HALF,
    paper="https://arxiv.org/abs/2105.08050",
)
_TIMM = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-weights"
VARIANTS = (
    (_spec("gMLP_Ti16", params=5_867_328, macs=1_328_989_184, top1=72.3), {"dim": 128, "depth": 30}),
    (
        _spec(
            "gMLP_S16",
            params=19_422_656,
            macs=4_392_060_928,
            top1=79.6,
            url=f"{_TIMM}/gmlp_s16_224_raa-10536d42.pth",
            sha256="10536d42",
            licence="Apache-2.0",
        ),
        {"dim": 256, "depth": 30},
    ),
    (_spec("gMLP_B16", params=73_075_392, macs=15_720_452_096, top1=81.6), {"dim": 512, "depth": 30}),
)

register_family(gMLP, VARIANTS)
