"""ToTensor and Normalize of paddle.vision.transforms, which some recipes use instead of NormalizeImage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, List, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms.arguments import check_hwc, per_channel
from ppcls.data.transforms.conversion import CHANNELS
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice


@TRANSFORMS.register
@dataclass(frozen=True)
class ToTensor:
    """Return the pixels from 0 to 1, as float32 [3, H, W]."""

    output_layout: ClassVar[str] = "chw"

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [3, H, W] float32."""
        check_hwc(image)
        if image.dtype != np.uint8:
            raise DataError(f"takes uint8 pixels, got {image.dtype}; put it before Normalize")
        return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


@TRANSFORMS.register
@dataclass(frozen=True)
class Normalize:
    """Compute (image - mean) / std in float32, without scaling. Use it after ToTensor, or NormalizeImage alone.

    Args:
        mean: one value per channel, or one for all.
        std: one value per channel, or one for all.
        data_format: layout of the input, "CHW" or "HWC".

    Raises:
        ConfigError: an argument is invalid.
    """

    mean: Union[float, Sequence[float]] = 0.0
    std: Union[float, Sequence[float]] = 1.0
    data_format: str = "CHW"

    def __post_init__(self) -> None:
        require_choice("data_format", self.data_format, ("CHW", "HWC"))
        self._channels("mean", self.mean)
        if 0 in self._channels("std", self.std):
            raise ConfigError("std: must not contain 0")

    @property
    def output_layout(self) -> str:
        """Return the layout of the result, that of the input."""
        return self.data_format.lower()

    def constants(self) -> Tuple[float, List[float], List[float]]:
        """Return scale, mean and std of the whole normalization, with ToTensor's scale of the pixels."""
        mean, std = (self._channels(name, value).tolist() for name, value in (("mean", self.mean), ("std", self.std)))
        return 1 / 255, mean, std

    @staticmethod
    def _channels(name: str, value: Union[float, Sequence[float]], channels: int = 3) -> np.ndarray:
        values = value if isinstance(value, (list, tuple)) else [value] * channels
        return np.array(per_channel(name, values, CHANNELS), np.float32)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the normalized image, in the layout of the input."""
        axis = 0 if self.data_format == "CHW" else -1
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.shape[axis] not in CHANNELS:
            got = list(image.shape) if isinstance(image, np.ndarray) else type(image).__name__
            raise DataError(f"data_format {self.data_format} does not fit the image, {got}; put ToTensor before it")
        channels = image.shape[axis]
        shape = (channels, 1, 1) if self.data_format == "CHW" else (1, 1, channels)
        mean, std = (self._channels("", value, channels) for value in (self.mean, self.std))
        if not len(mean) == len(std) == channels:
            raise DataError(f"got an image of {channels} channels, mean of {len(mean)} values and std of {len(std)}")
        mean, std = mean.reshape(shape), std.reshape(shape)
        return (image.astype(np.float32) - mean) / std
