"""Normalization and the layout of the model's input."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, List, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.transforms.arguments import check_hwc, per_channel
from ppcls.data.transforms.conversion import CHANNELS
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_number
from ppcls.utils import imagenet
from ppcls.utils.opencv import cv2


@TRANSFORMS.register
@dataclass(frozen=True)
class NormalizeImage:
    """Compute (image * scale - mean) / std in float32.

    Args:
        scale: factor of the pixel values; 1/255 by default.
        mean: one value per channel; ImageNet's by default. In recipes, the default follows from Arch.in_channels.
        std: one value per channel; ImageNet's by default.
        order: layout of the input: "chw" (after ToCHWImage), or "hwc", also written "".
        output_fp16: accepted for PaddleClas's recipes, and without effect: batches are float32, and a model in half
            precision casts them itself.
        channel_num: 4 appends a channel of zeros to three; otherwise it follows from ``mean``.

    Raises:
        ConfigError: an argument is invalid.
    """

    scale: Optional[float] = None
    mean: Optional[Sequence[float]] = None
    std: Optional[Sequence[float]] = None
    order: str = "chw"
    output_fp16: bool = False
    channel_num: int = 3
    _table: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_choice("order", self.order, ("chw", "hwc", ""))
        require_choice("channel_num", self.channel_num, (3, 4))
        scale, mean, std = self.constants()
        if len(mean) != len(std):
            count = {1: "one number", 3: "three numbers", 4: "four numbers"}[len(std)]
            raise ConfigError(f"mean: must be {count}, one per channel as in std, not {self.mean!r}; give both")
        if 0 in std:
            raise ConfigError("std: must not contain 0")
        # The results for all 256 pixel values, [3, 256]: a look-up is five times faster than the arithmetic.
        values = np.arange(256) * scale
        table = np.stack([(values - m) / s for m, s in zip(mean, std)]).astype(np.float32)
        object.__setattr__(self, "_table", table)

    @property
    def output_layout(self) -> str:
        """Return the layout of the result, that of the input."""
        return self.order or "hwc"

    def constants(self) -> Tuple[float, List[float], List[float]]:
        """Return scale, mean and std, with the defaults filled in."""
        scale = 1 / 255 if self.scale is None else require_number("scale", self.scale)
        return (
            scale,
            per_channel("mean", imagenet.MEAN if self.mean is None else self.mean, CHANNELS),
            per_channel("std", imagenet.STD if self.std is None else self.std, CHANNELS),
        )

    @property
    def appends_zeros(self) -> bool:
        """Whether a channel of zeros is appended."""
        return self.channel_num == 4 and len(self._table) == 3

    @property
    def channels(self) -> int:
        """Return the number of channels that it takes."""
        return len(self._table)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the normalized float32 image, in the layout of the input."""
        chw = self.order == "chw"
        self._check(image)
        channels = image if chw else cv2.split(image)
        # The memory is channels-first in both cases, so that a ToCHWImage after it does not have to copy.
        out = np.empty((self.channels + self.appends_zeros, *channels[0].shape), np.float32)
        for channel, table, plane in zip(channels, self._table, out):
            cv2.LUT(channel, table[None], dst=plane)
        out[self.channels :] = 0
        return out if chw else out.transpose(1, 2, 0)

    def _check(self, image: Any) -> None:
        if self.order != "chw":
            check_hwc(image)
        elif not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[0] not in CHANNELS:
            got = list(image.shape) if isinstance(image, np.ndarray) else type(image).__name__
            raise DataError(f"order 'chw' takes a channels-first image, got {got}; use order: '' before ToCHWImage")
        channels = image.shape[0 if self.order == "chw" else 2]
        if channels != self.channels:
            raise DataError(
                f"got an image of {channels} channels, and mean has {self.channels} values; set DecodeImage.channels, "
                f"or give one value per channel"
            )
        if image.dtype != np.uint8:
            raise DataError(f"takes uint8 pixels, got {image.dtype}; normalize once, after all other transforms")

    def batch(self, images: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the normalized float32 images [B, ...], in the layout of the uint8 input."""
        chw = self.order == "chw"
        self._check(images[0])
        channels = images if chw else images.transpose(0, 3, 1, 2)
        out = np.empty((len(images), self.channels + self.appends_zeros, *channels.shape[2:]), np.float32)
        for channel, table in enumerate(self._table):
            plane = np.ascontiguousarray(channels[:, channel])
            out[:, channel] = cv2.LUT(plane.reshape(len(plane), -1), table[None]).reshape(plane.shape)
        out[:, self.channels :] = 0
        return out if chw else out.transpose(0, 2, 3, 1)


@TRANSFORMS.register
@dataclass(frozen=True)
class ToCHWImage:
    """Change the layout of an image from [H, W, C] to [C, H, W]. Recipes may leave it out where it is the last one."""

    output_layout: ClassVar[str] = "chw"

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [C, H, W]."""
        check_hwc(image)
        return np.ascontiguousarray(image.transpose(2, 0, 1))

    def batch(self, images: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return images [B, C, H, W] of images [B, H, W, C]."""
        check_hwc(images[0])
        return np.ascontiguousarray(images.transpose(0, 3, 1, 2))
