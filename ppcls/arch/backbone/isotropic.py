"""What ConvMixer and gMLP share: a stem, equal blocks, and a head."""

from __future__ import annotations

from typing import List, Tuple

import paddle
from paddle import nn

from ppcls.arch.backbone.base import Backbone, Depth, FeatureInfo


class IsotropicBackbone(Backbone):
    """Base of families whose maps keep one size and width: ``stem``, ``blocks``, perhaps a ``norm``, and ``head``.

    Their maps differ by depth alone; ``features`` gives one after each quarter of the blocks.

    Args:
        dim: width of the maps.
        depth: number of blocks.
        in_channels: channels of the input image.
        patch_size: in pixels; the stride of all maps.
        recompute: trade time for memory by gradient checkpointing.

    Attributes:
        feature_blocks: indices of the blocks after which there is a map; the last block is one of them.
    """

    depths = (("stem", Depth.STEM), (r"blocks\.\d+", Depth.BLOCK), ("norm", Depth.LAST_BLOCK))
    blocks: nn.LayerList

    def __init__(self, dim: int, depth: int, in_channels: int, patch_size: int, recompute: bool) -> None:
        super().__init__(dim, in_channels, patch_size, recompute)
        self.depth = depth
        self.feature_blocks = sorted({(depth * quarter + 3) // 4 - 1 for quarter in (1, 2, 3, 4)})
        self.feature_info = [FeatureInfo(dim, patch_size)] * len(self.feature_blocks)

    def pixels_left_out(self, height: int, width: int) -> Tuple[int, int]:
        """Return how many rows and columns at the end of an image are in no patch."""
        return height % self.patch_size, width % self.patch_size

    def run_blocks(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return what the blocks make of ``x``, after each quarter of them."""
        outputs = []
        for index, block in enumerate(self.blocks):
            x = self.run(block, x)
            if index in self.feature_blocks:
                outputs.append(x)
        return outputs
