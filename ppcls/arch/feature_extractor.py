"""A network's feature maps instead of its logits."""

from __future__ import annotations

from typing import List, Optional

import paddle
from paddle import nn

from ppcls.arch.backbone.base import FeatureInfo, require_method
from ppcls.arch.model_spec import ModelSpec


class FeatureExtractor(nn.Layer):
    """Returns the maps of ``backbone.features``, as detection and segmentation use them.

    Args:
        backbone: a network with ``features``. Its classifier is not used; build it with ``class_num=0``.

    Attributes:
        feature_info: channels and stride of each map.
        spec: facts about the variant that the backbone is; None if it is none.

    Raises:
        ConfigError: the network has no ``features`` or ``feature_info``.
    """

    def __init__(self, backbone: nn.Layer) -> None:
        for method in ("features", "feature_info"):
            require_method(backbone, method, "features_only")
        super().__init__()
        self.backbone = backbone
        self.feature_info: List[FeatureInfo] = list(backbone.feature_info)
        self.spec: Optional[ModelSpec] = getattr(backbone, "spec", None)

    def forward(self, images: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps of images [B, in_channels, H, W], each [B, channels, H / stride, W / stride]."""
        return self.backbone.features(images)
