"""Crops. Pairs of sizes are [width, height], as in PaddleClas."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms.arguments import (
    check_backend,
    check_hwc,
    check_interpolation,
    fill_color,
    limits,
    require_stages,
    resize,
    size_pair,
)
from ppcls.data.transforms.geometry import FixedSize, pad
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import BACKENDS, channel_values
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_int

_ATTEMPTS = 10  # as in torchvision's RandomResizedCrop


@TRANSFORMS.register
@dataclass(frozen=True)
class CropImage(FixedSize):
    """Crop the centre of the image.

    Args:
        size: a side or [width, height], in pixels.
        backend: how to round if the margin is an odd number of pixels: "cv2" leaves fewer at the top and left, as in
            PaddleClas; "pil" rounds half to even, as in torchvision.

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Union[int, Sequence[int]]
    backend: str = "cv2"

    def __post_init__(self) -> None:
        size_pair("size", self.size)
        require_choice("backend", self.backend, BACKENDS)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the centre [height, width, 3] of the image."""
        check_hwc(image)
        width, height = size_pair("size", self.size)
        _require_at_least(image, width, height)
        margins = (image.shape[0] - height, image.shape[1] - width)
        top, left = (round(side / 2) if self.backend == "pil" else side // 2 for side in margins)
        return image[top : top + height, left : left + width]


@TRANSFORMS.register
@dataclass(frozen=True)
class RandCropImage(FixedSize):
    """Crop a random area with a random aspect ratio and resize it (Inception, arXiv 1409.4842, section 6).

    It is the same as torchvision's RandomResizedCrop: area and aspect ratio are drawn up to ten times until the crop
    fits into the image; otherwise the largest central crop with an allowed aspect ratio is taken.

    Args:
        size: size of the result: a side or [width, height], in pixels.
        scale: smallest and largest area of the crop, as a fraction of the image's area; [0.08, 1] by default.
        ratio: smallest and largest aspect ratio (width / height) of the crop; [3/4, 4/3] by default.
        interpolation: nearest, bilinear (the default), bicubic, area, lanczos, or random (bilinear or bicubic).
        use_log_aspect: draw the logarithm of the aspect ratio uniformly: wide and tall crops are equally likely.
        backend: "cv2", or "pil" for Pillow's antialiased pixels; see ``ppcls.data.transforms.warp``.
        progress_size: size in each stage of progressive training (``Global.train_mode``), instead of ``size``.

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Union[int, Sequence[int]]
    scale: Optional[Sequence[float]] = None
    ratio: Optional[Sequence[float]] = None
    interpolation: Optional[str] = None
    use_log_aspect: bool = True
    backend: str = "cv2"
    progress_size: Optional[Sequence[Union[int, Sequence[int]]]] = None

    def __post_init__(self) -> None:
        size_pair("size", self.size)
        require_stages("progress_size", self.progress_size)
        for size in self.progress_size or ():
            size_pair("progress_size", size)
        if self._scale()[1] > 1:
            raise ConfigError(f"scale: the crop cannot be larger than the image, so at most 1, not {self.scale!r}")
        self._ratio()
        check_interpolation(self.interpolation)
        check_backend(self.backend)

    @property
    def stages(self) -> int:
        """Return the number of stages of progressive training; 0 without ``progress_size``."""
        return len(self.progress_size or ())

    def at_stage(self, stage: int) -> RandCropImage:
        """Return the crop of a stage of progressive training, counted from 0."""
        return replace(self, size=self.progress_size[stage]) if self.progress_size else self

    def _scale(self) -> Tuple[float, float]:
        return limits("scale", self.scale, (0.08, 1.0))

    def _ratio(self) -> Tuple[float, float]:
        return limits("ratio", self.ratio, (3 / 4, 4 / 3))

    def box(self, width: int, height: int, rng: np.random.Generator) -> Tuple[int, int, int, int]:
        """Return (left, top, width, height) of a random crop of an image of size width x height."""
        low, high = self._ratio()
        for _ in range(_ATTEMPTS):
            area = width * height * rng.uniform(*self._scale())
            if self.use_log_aspect:
                ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
            else:
                ratio = rng.uniform(low, high)
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
                return left, top, w, h
        w, h = width, height
        if width / height < low:
            h = min(height, round(width / low))
        elif width / height > high:
            w = min(width, round(height * high))
        w, h = max(1, w), max(1, h)
        return (width - w) // 2, (height - h) // 2, w, h

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the resized crop [height, width, 3]."""
        check_hwc(image)
        left, top, width, height = self.box(image.shape[1], image.shape[0], rng)
        crop = image[top : top + height, left : left + width]
        return resize(crop, size_pair("size", self.size), self.interpolation, self.backend, rng)


@TRANSFORMS.register
@dataclass(frozen=True)
class RandomResizedCrop:
    """Crop a random area and resize it, like RandCropImage, with the arguments of paddle.vision and torchvision.

    Args:
        size: size of the result: a side or [height, width], in pixels.
        scale: smallest and largest area of the crop, as a fraction of the image's area.
        ratio: smallest and largest aspect ratio (width / height) of the crop.
        interpolation: nearest, bilinear, bicubic, area, lanczos, or random (bilinear or bicubic).
        backend: "cv2" or "pil".

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Union[int, Sequence[int]]
    scale: Sequence[float] = (0.08, 1.0)
    ratio: Sequence[float] = (3 / 4, 4 / 3)
    interpolation: str = "bilinear"
    backend: str = "cv2"
    _crop: RandCropImage = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        size = size_pair("size", self.size)[::-1]
        crop = RandCropImage(size, self.scale, self.ratio, self.interpolation, backend=self.backend)
        object.__setattr__(self, "_crop", crop)

    @property
    def output_size(self) -> Tuple[int, int]:
        """Return the height and width of the result."""
        return self._crop.output_size

    def resized(self, size: Tuple[int, int]) -> RandomResizedCrop:
        """Return the same transform for images of another size (width, height)."""
        return replace(self, size=size[::-1])

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the resized crop [height, width, 3]."""
        return self._crop(image, rng)


@TRANSFORMS.register
@dataclass(frozen=True)
class CropImageAtRatio:
    """Crop a central square and resize it (the evaluation of EfficientNetV2, arXiv 2104.00298).

    The square's side is size / (size + pad) of the image's short side, rounded down.

    Args:
        size: side of the result, in pixels.
        pad: width of the border that is left out, in pixels of the result.
        interpolation: nearest, bilinear, bicubic, area, lanczos, or random (bilinear or bicubic).
        backend: "cv2" or "pil".

    Raises:
        ConfigError: an argument is invalid.
    """

    size: int
    pad: int
    interpolation: str = "bilinear"
    backend: str = "cv2"

    def __post_init__(self) -> None:
        require_int("size", self.size, 1)
        require_int("pad", self.pad, 0)
        check_interpolation(self.interpolation)
        check_backend(self.backend)

    @property
    def output_size(self) -> Tuple[int, int]:
        """Return the height and width of the result."""
        return self.size, self.size

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the resized centre [size, size, 3]."""
        check_hwc(image)
        height, width = image.shape[:2]
        side = max(1, min(height, width) * self.size // (self.size + self.pad))
        top, left = (height - side) // 2, (width - side) // 2
        crop = image[top : top + side, left : left + side]
        return resize(crop, (self.size, self.size), self.interpolation, self.backend, rng)


@TRANSFORMS.register(name="RandomCropImage")
@TRANSFORMS.register
@dataclass(frozen=True)
class RandCropImageV2(FixedSize):
    """Crop a fixed size at a random position, without resizing.

    Args:
        size: a side or [width, height], in pixels.
        padding: width of a border that is added first, in pixels (CIFAR: 4).
        fill: value of the border.

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Union[int, Sequence[int]]
    padding: int = 0
    fill: int = 0

    def __post_init__(self) -> None:
        size_pair("size", self.size)
        require_int("padding", self.padding, 0)
        fill_color(self.fill)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the crop [height, width, 3]."""
        check_hwc(image)
        if self.padding:
            image = pad(image, [int(self.padding)] * 4, "constant", self.fill)
        width, height = size_pair("size", self.size)
        _require_at_least(image, width, height)
        top, left = self._draw_corner(image, width, height, rng)
        return image[top : top + height, left : left + width]

    @staticmethod
    def _draw_corner(image: np.ndarray, width: int, height: int, rng: np.random.Generator) -> Tuple[int, int]:
        return int(rng.integers(image.shape[0] - height + 1)), int(rng.integers(image.shape[1] - width + 1))

    def batch(self, images: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the crops [B, height, width, 3] of images [B, H, W, 3]."""
        check_hwc(images[0])
        if self.padding:
            border = int(self.padding)
            count, full_height, full_width, channels = images.shape
            padded = np.empty((count, full_height + 2 * border, full_width + 2 * border, channels), images.dtype)
            padded[:] = channel_values(fill_color(self.fill), channels)
            padded[:, border : border + full_height, border : border + full_width] = images
            images = padded
        width, height = size_pair("size", self.size)
        _require_at_least(images[0], width, height)
        crops = np.empty((len(images), height, width, images.shape[3]), images.dtype)
        for crop, image, rng in zip(crops, images, rngs):
            top, left = self._draw_corner(image, width, height, rng)
            crop[:] = image[top : top + height, left : left + width]
        return crops


def _require_at_least(image: np.ndarray, width: int, height: int) -> None:
    if image.shape[1] < width or image.shape[0] < height:
        raise DataError(
            f"the image is {image.shape[1]} x {image.shape[0]}, smaller than the crop of {width} x {height} (width x "
            f"height); put ResizeImage or Pad before it"
        )
