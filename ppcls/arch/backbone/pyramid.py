"""What ConvMLP and CycleMLP share: stages whose maps become smaller and wider."""

from __future__ import annotations

from typing import ClassVar, Tuple

from paddle import nn

from ppcls.arch.backbone.base import Backbone, Depth
from ppcls.arch.layers import normal_linear


class PyramidBackbone(Backbone):
    """Base of families with ``stages`` of ``downsample`` and ``blocks``, a ``norm`` of the last map, and ``head``."""

    depths: ClassVar[Tuple[Tuple[str, Depth], ...]] = (
        (r"stages\.\d+\.downsample", Depth.NEXT_BLOCK),
        (r"stages\.\d+\.blocks\.\d+", Depth.BLOCK),
        ("norm", Depth.LAST_BLOCK),
    )

    def new_head(self, class_num: int) -> nn.Linear:
        """Return a classifier with weights from N(0, 0.02) and zero biases, [B, num_features] -> [B, class_num]."""
        return normal_linear(self.num_features, class_num)
