"""What gMLP needs because its projections over the patches are made for one image size."""

from __future__ import annotations

import re
from typing import ClassVar, Sequence, Tuple, Union

import numpy as np
import paddle

from ppcls.arch.backbone.base import Backbone, ImageSize
from ppcls.arch.backbone.isotropic import IsotropicBackbone
from ppcls.arch.resizing import likely_grid, resize_spatial_bias, resize_spatial_weight
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_int


class FixedSizeBackbone(IsotropicBackbone):
    """Base of isotropic families with linear layers over the patches, which accept images of one size only.

    Args:
        dim: width of the maps.
        depth: number of blocks.
        in_channels: channels of the input image.
        patch_size: in pixels; the stride of all maps.
        image_size: size of the input in pixels, one number or [height, width].
        recompute: trade time for memory by gradient checkpointing.

    Attributes:
        spatial_layers: pattern of the names of the linear layers over the patches.
        image_size: (height, width) in pixels.
        grid: (rows, columns) of patches; an incomplete patch at the edge is left out.
    """

    spatial_layers: ClassVar[str] = ""

    def __init__(
        self,
        dim: int,
        depth: int,
        in_channels: int,
        patch_size: int,
        image_size: Union[int, Sequence[int]],
        recompute: bool,
    ) -> None:
        super().__init__(dim, depth, in_channels, patch_size, recompute)
        self.image_size = self._height_and_width(image_size)
        self.grid = self._grid_of(self.image_size)

    def check_input(self, x: paddle.Tensor) -> None:
        """Refuse images of another size.

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
        """Return a weight, resized if it is for another image size; see ``Backbone``.

        Without ``image_size``, a weight for as many patches as this model's is taken to be for the same image size;
        any other one for a square image, or else for one of this model's proportions.
        """
        layer, _, kind = name.rpartition(".")
        if not re.fullmatch(self.spatial_layers, layer):
            return super().adapt(name, array, image_size)
        source = self.source_grid(len(array), image_size)
        if source == self.grid or set(array.shape) != {source[0] * source[1]}:
            return array
        resize = resize_spatial_weight if kind == "weight" else resize_spatial_bias
        return resize(array, source, self.grid)

    def source_grid(self, patches: int, image_size: ImageSize = None) -> Tuple[int, int]:
        """Return the (rows, columns) of patches that weights for ``patches`` of them are for, as ``adapt`` takes it.

        Args:
            image_size: of the weights in pixels, one number or [height, width], if it is known.
        """
        if image_size is not None:
            return self._grid_of(self._height_and_width(image_size))
        if patches == self.grid[0] * self.grid[1]:
            return self.grid
        return likely_grid(patches, self.grid) or self.grid

    def _grid_of(self, size: Tuple[int, int]) -> Tuple[int, int]:
        return size[0] // self.patch_size, size[1] // self.patch_size

    def _height_and_width(self, image_size: Union[int, Sequence[int]]) -> Tuple[int, int]:
        sizes = [image_size, image_size] if isinstance(image_size, int) else list(image_size)
        if len(sizes) != 2:
            raise ConfigError(f"image_size: must be one number or [height, width], not {image_size!r}")
        for size in sizes:
            if require_int("image_size", size, 1) < self.patch_size:
                raise ConfigError(f"image_size: {image_size} px is smaller than a patch of {self.patch_size} px")
        return sizes[0], sizes[1]
