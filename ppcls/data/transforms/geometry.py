"""Resizing, cropping and padding. Pairs of sizes are [width, height], as in PaddleClas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms.arguments import (
    check_backend,
    check_hwc,
    check_interpolation,
    fill_color,
    limits,
    resize,
    size_pair,
)
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import BACKENDS
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_int
from ppcls.utils.opencv import cv2

_ATTEMPTS = 10  # as in torchvision's RandomResizedCrop
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}


@TRANSFORMS.register
@dataclass(frozen=True)
class ResizeImage:
    """Resize to a fixed size, or so that the short side has a given length.

    Args:
        size: a side or [width, height], in pixels. The aspect ratio is not preserved.
        resize_short: length of the short side, in pixels; an alternative to ``size``. The long side is rounded to the
            nearest pixel ("cv2") or down ("pil", as in torchvision).
        interpolation: nearest, bilinear (the default), bicubic, area, lanczos, or random (bilinear or bicubic).
        backend: "cv2", or "pil" for Pillow's antialiased pixels; see ``ppcls.data.transforms.warp``.
        return_numpy: must be true: images are arrays.

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Optional[Union[int, Sequence[int]]] = None
    resize_short: Optional[int] = None
    interpolation: Optional[str] = None
    backend: str = "cv2"
    return_numpy: bool = True

    def __post_init__(self) -> None:
        if (self.size is None) == (self.resize_short is None):
            raise ConfigError("size: give either size or resize_short")
        if self.size is not None:
            size_pair("size", self.size)
        else:
            require_int("resize_short", self.resize_short, 1)
        check_interpolation(self.interpolation)
        check_backend(self.backend)
        if not self.return_numpy:
            raise ConfigError("return_numpy: must be true: images are arrays")

    @property
    def output_size(self) -> Optional[Tuple[int, int]]:
        """Return the height and width of the result; None where they depend on the image."""
        return None if self.size is None else size_pair("size", self.size)[::-1]

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the resized image [H, W, 3]."""
        check_hwc(image)
        target = (
            size_pair("size", self.size)
            if self.size is not None
            else self._short_side_size(image.shape[1], image.shape[0])
        )
        return resize(image, target, self.interpolation, self.backend, rng)

    def _short_side_size(self, width: int, height: int) -> Tuple[int, int]:
        """Return the size whose short side is ``resize_short``."""
        assert self.resize_short is not None
        # One side of a very thin image could round to 0.
        if self.backend == "cv2":
            ratio = self.resize_short / min(width, height)
            return max(1, round(width * ratio)), max(1, round(height * ratio))
        long = int(self.resize_short * max(width, height) / min(width, height))
        return (self.resize_short, long) if width <= height else (long, self.resize_short)


@TRANSFORMS.register
@dataclass(frozen=True)
class CropImage:
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

    @property
    def output_size(self) -> Tuple[int, int]:
        """Return the height and width of the result."""
        return size_pair("size", self.size)[::-1]

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
class RandCropImage:
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

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Union[int, Sequence[int]]
    scale: Optional[Sequence[float]] = None
    ratio: Optional[Sequence[float]] = None
    interpolation: Optional[str] = None
    use_log_aspect: bool = True
    backend: str = "cv2"

    def __post_init__(self) -> None:
        size_pair("size", self.size)
        if self._scale()[1] > 1:
            raise ConfigError(f"scale: the crop cannot be larger than the image, so at most 1, not {self.scale!r}")
        self._ratio()
        check_interpolation(self.interpolation)
        check_backend(self.backend)

    @property
    def output_size(self) -> Tuple[int, int]:
        """Return the height and width of the result."""
        return size_pair("size", self.size)[::-1]

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


@TRANSFORMS.register(name="RandomCropImage")
@TRANSFORMS.register
@dataclass(frozen=True)
class RandCropImageV2:
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

    @property
    def output_size(self) -> Tuple[int, int]:
        """Return the height and width of the result."""
        return size_pair("size", self.size)[::-1]

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the crop [height, width, 3]."""
        check_hwc(image)
        if self.padding:
            image = _pad(image, [int(self.padding)] * 4, "constant", self.fill)
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
            count, full_height, full_width, _ = images.shape
            padded = np.empty((count, full_height + 2 * border, full_width + 2 * border, 3), images.dtype)
            padded[:] = fill_color(self.fill)
            padded[:, border : border + full_height, border : border + full_width] = images
            images = padded
        width, height = size_pair("size", self.size)
        _require_at_least(images[0], width, height)
        crops = np.empty((len(images), height, width, 3), images.dtype)
        for crop, image, rng in zip(crops, images, rngs):
            top, left = self._draw_corner(image, width, height, rng)
            crop[:] = image[top : top + height, left : left + width]
        return crops


@TRANSFORMS.register
@dataclass(frozen=True)
class Pad:
    """Add a border.

    Args:
        padding: width in pixels: one number for all sides, [left and right, top and bottom], or [left, top, right,
            bottom].
        fill: value of a constant border: one for all channels, or one per channel.
        padding_mode: constant, edge, reflect (without repeating the outermost row) or symmetric (repeating it).
        backend: "cv2" or "pil"; the results are equal.

    Raises:
        ConfigError: an argument is invalid.
    """

    padding: Union[int, Sequence[int]]
    fill: Union[int, Sequence[int]] = 0
    padding_mode: str = "constant"
    backend: str = "cv2"

    def __post_init__(self) -> None:
        self._sides()
        fill_color(self.fill)
        require_choice("padding_mode", self.padding_mode, tuple(_BORDERS))
        check_backend(self.backend)

    @property
    def output_size(self) -> None:
        """Return None: the size of the result depends on the image."""
        return None

    def _sides(self) -> Sequence[int]:
        if not isinstance(self.padding, (list, tuple)):
            return [require_int("padding", self.padding, 0)] * 4
        sides = [require_int("padding", side, 0) for side in self.padding]
        if len(sides) not in (2, 4):
            raise ConfigError(
                f"padding: must be a number, [horizontal, vertical] or [left, top, right, bottom], not {self.padding!r}"
            )
        return sides * (4 // len(sides))

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image with its border, [H, W, 3]."""
        check_hwc(image)
        return _pad(image, self._sides(), self.padding_mode, self.fill)


def _require_at_least(image: np.ndarray, width: int, height: int) -> None:
    if image.shape[1] < width or image.shape[0] < height:
        raise DataError(
            f"the image is {image.shape[1]} x {image.shape[0]}, smaller than the crop of {width} x {height} (width x "
            f"height); put ResizeImage or Pad before it"
        )


def _pad(image: np.ndarray, sides: Sequence[int], mode: str, fill: Union[int, Sequence[int]]) -> np.ndarray:
    left, top, right, bottom = sides
    if mode == "reflect" and (max(left, right) >= image.shape[1] or max(top, bottom) >= image.shape[0]):
        raise DataError(f"the image {list(image.shape[:2])} is too small to reflect {max(sides)} pixels of it")
    return cv2.copyMakeBorder(image, top, bottom, left, right, _BORDERS[mode], value=fill_color(fill))
