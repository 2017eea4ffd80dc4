"""The base class of all backbones."""

from __future__ import annotations

import re
from enum import Enum
from typing import Any, ClassVar, Dict, List, NamedTuple, Optional, Sequence, Set, Tuple, Union

import numpy as np
import paddle
from paddle import nn

from ppcls.arch.layers import checkpointed, linear, pooled, with_gradient_hooks
from ppcls.arch.model_spec import ModelSpec
from ppcls.arch.resizing import adapt_in_channels
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_int

ImageSize = Union[int, Sequence[int], None]


class FeatureInfo(NamedTuple):
    """One map of ``Backbone.features``: [B, channels, H / stride, W / stride]."""

    channels: int
    stride: int


class Depth(Enum):
    """How deep a layer of ``Backbone.depths`` is."""

    STEM = "0"
    BLOCK = "1 for the first block, one more for each block after it"
    NEXT_BLOCK = "as deep as the block that follows"
    LAST_BLOCK = "as deep as the last block"


class Backbone(nn.Layer):
    """Base of all families: a trunk that ends in a map, and a classifier called ``head`` on its pooled features.

    A family implements ``features`` and lists its ``depths``; it overrides ``forward_features`` and ``forward_head``
    if it needs to. Its constructor ends with ``reset_classifier(class_num)``, so that the parameters are in the order
    of the computation.

    Args:
        num_features: channels of the pooled features.
        in_channels: channels of the input image.
        patch_size: the smallest height and width that the stem accepts, in pixels.
        recompute: trade time for memory by gradient checkpointing (training only, same gradients).

    Attributes:
        feature_info: channels and stride of each map that ``features`` returns.
        first_conv: name of the weight that takes the image's channels.
        depths: (pattern of a layer's whole name, its depth) for ``depth_of``, without the head; the first match counts.
        spec: facts about the variant; None for a network with other sizes.
    """

    feature_info: List[FeatureInfo]
    first_conv: ClassVar[str] = ""
    depths: ClassVar[Tuple[Tuple[str, Depth], ...]] = ()
    spec: Optional[ModelSpec] = None
    head: Optional[nn.Layer]

    def __init__(self, num_features: int, in_channels: int, patch_size: int, recompute: bool) -> None:
        super().__init__()
        require_sizes(in_channels=in_channels, patch_size=patch_size)
        self.num_features = num_features
        self.in_channels = in_channels
        self.patch_size = patch_size
        self.recompute = recompute
        self._depth_by_layer: Dict[str, int] = {}

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return logits [B, class_num] of images [B, in_channels, H, W]; pooled features if class_num is 0."""
        return with_gradient_hooks(self.forward_head(self.forward_features(x)))

    def forward_features(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return the last map, [B, num_features, H', W'].

        Raises:
            ConfigError: the image is smaller than a patch or has another number of channels.
        """
        return self.features(x)[-1]

    def forward_head(self, x: paddle.Tensor) -> paddle.Tensor:
        """Return logits [B, class_num] of the last map [B, num_features, H', W']."""
        x = pooled(x)
        return x if self.head is None else self.head(x)

    def features(self, x: paddle.Tensor) -> List[paddle.Tensor]:
        """Return the maps that ``feature_info`` describes, in the order of the computation.

        Raises:
            ConfigError: the image is smaller than a patch or has another number of channels.
        """
        raise ConfigError(f"{type(self).__name__} does not implement features, which returns its maps")

    def reset_classifier(self, class_num: int) -> None:
        """Replace the classifier by a freshly initialised one; 0 removes it.

        Raises:
            ConfigError: ``class_num`` is not an integer of 0 or more.
        """
        self.class_num = require_int("class_num", class_num, 0)
        self.head = self.new_head(class_num) if class_num else None

    def new_head(self, class_num: int) -> nn.Linear:
        """Return a freshly initialised classifier, [B, num_features] -> [B, class_num]."""
        return linear(self.num_features, class_num)

    def depth_of(self, name: str) -> int:
        """Return how deep the layer or parameter called ``name`` is, for layer-wise learning-rate decay.

        The stem has depth 0, the blocks have 1 and up as ``depths`` says, and the head has the largest depth.

        Raises:
            ValueError: there is no such layer in this architecture.
        """
        if not self._depth_by_layer:
            self._depth_by_layer = self._count_depths()
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            depth = self._depth_by_layer.get(".".join(parts[:length]))
            if depth is not None:
                return depth
        raise ValueError(f"{type(self).__name__} has no parameter {name!r}")

    def _count_depths(self) -> Dict[str, int]:
        """Return the depth of each layer that ``depths`` lists, and of the head."""
        if not self.depths:
            raise ConfigError(f"{type(self).__name__} does not say how deep its layers are: set its attribute depths")
        depth_by_layer: Dict[str, int] = {}
        after_blocks: List[str] = []
        blocks = 0
        for name, _ in self.named_sublayers():
            depth = next((depth for pattern, depth in self.depths if re.fullmatch(pattern, name)), None)
            if depth is Depth.STEM:
                depth_by_layer[name] = 0
            elif depth is Depth.BLOCK:
                blocks += 1
                depth_by_layer[name] = blocks
            elif depth is Depth.NEXT_BLOCK:
                depth_by_layer[name] = blocks + 1
            elif depth is Depth.LAST_BLOCK:
                after_blocks.append(name)
        depth_by_layer.update(dict.fromkeys(after_blocks, blocks), head=blocks + 1)  # also for a model without a head
        return depth_by_layer

    def no_weight_decay(self) -> Set[str]:
        """Return the names of parameters that the paper does not decay, whatever the recipe says."""
        return set()

    def adapt(self, name: str, array: np.ndarray, image_size: ImageSize = None) -> np.ndarray:
        """Return the weight called ``name``, adapted to this model where that is needed and possible.

        ``load_weights`` calls this for each weight, and refuses the weight if its shape still differs. Here, the first
        convolution is adapted to another number of image channels.

        Args:
            image_size: image size of the weight in pixels, one number or [height, width], if it is known.
        """
        if name == self.first_conv and array.ndim == 4 and 0 < array.shape[1] != self.in_channels:
            return adapt_in_channels(array, self.in_channels)
        return array

    def run(self, block: nn.Layer, x: paddle.Tensor) -> paddle.Tensor:
        """Return ``block(x)``, by gradient checkpointing if that is on."""
        return checkpointed(block, x) if self.recompute and self.training else block(x)

    def check_input(self, x: paddle.Tensor) -> None:
        """Refuse images of the wrong shape, or smaller than a patch.

        Raises:
            ConfigError: not [B, in_channels, H >= patch_size, W >= patch_size].
        """
        if not paddle.in_dynamic_mode():  # an exported graph has no sizes yet
            return
        shape = list(x.shape)
        if len(shape) != 4 or shape[1] != self.in_channels:
            raise ConfigError(f"expected images of shape [B, {self.in_channels}, H, W], got {shape}")
        if min(shape[2:]) < self.patch_size:
            raise ConfigError(f"an image of {shape[2]}x{shape[3]} px is smaller than a patch of {self.patch_size} px")


def require_sizes(**sizes: int) -> None:
    """Raise ConfigError for a size that is not a positive integer."""
    for name, size in sizes.items():
        require_int(name, size, 1)


def hidden_width(name: str, dim: int, ratio: float) -> int:
    """Return the hidden width dim * ratio of an MLP, rounded down.

    Raises:
        ConfigError: it is 0 or less; the message begins with ``name``.
    """
    if int(dim * ratio) < 1:
        raise ConfigError(f"{name}: must leave a hidden width of at least 1 of {dim}, not {ratio!r}")
    return int(dim * ratio)


def require_stages(**lists: Sequence[Any]) -> None:
    """Raise ConfigError unless each list has an entry for every stage, of which there is at least one."""
    lengths = [len(values) for values in lists.values()]
    if not lengths[0] or len(set(lengths)) > 1:
        raise ConfigError(f"{', '.join(lists)}: must have one entry per stage each, not {lengths}")


def require_odd(name: str, size: int) -> None:
    """Raise ConfigError unless a kernel's size is positive and odd, so that the map keeps its size."""
    if require_int(name, size, 1) % 2 == 0:
        raise ConfigError(f"{name}: must be odd, which keeps the map's size, not {size}")


def require_method(model: nn.Layer, method: str, needed_by: str) -> None:
    """Refuse a layer that lacks a method of ``Backbone``; registered architectures may be any layer.

    Args:
        method: name of a method or attribute of ``Backbone``.
        needed_by: the argument or setting that needs it.

    Raises:
        ConfigError: ``model`` has no such method.
    """
    if hasattr(model, method):
        return
    advice = "define it" if isinstance(model, Backbone) else "derive the class from ppcls.arch.Backbone, which has it"
    raise ConfigError(f"{needed_by}: needs {method}, which {type(model).__name__} does not have; {advice}")
