"""Resizing and padding. Pairs of sizes are [width, height], as in PaddleClas."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np

from ppcls.data.transforms.arguments import (
    check_backend,
    check_hwc,
    check_interpolation,
    fill_color,
    resize,
    size_pair,
)
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import channel_values, with_axis
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_int
from ppcls.utils.opencv import cv2

_Sized = TypeVar("_Sized", bound="FixedSize")
_PAD_MODES = (-1, 0, 1, 2)
_BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}


class FixedSize:
    """Base class of transforms that make images of a fixed size."""

    size: Any  # a side or [width, height], in pixels

    @property
    def output_size(self) -> Tuple[int, int]:
        """Return the height and width of the result."""
        return size_pair("size", self.size)[::-1]

    def resized(self: _Sized, size: Tuple[int, int]) -> _Sized:
        """Return the same transform for images of another size (width, height)."""
        return replace(self, size=size)  # type: ignore[type-var]


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
        return_numpy: accepted for PaddleClas's recipes; the result is always an array.

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

    @property
    def output_size(self) -> Optional[Tuple[int, int]]:
        """Return the height and width of the result; None where they depend on the image."""
        return None if self.size is None else size_pair("size", self.size)[::-1]

    def resized(self, size: Tuple[int, int]) -> ResizeImage:
        """Return the same transform for images of another size (width, height).

        Raises:
            ConfigError: the size depends on the image.
        """
        if self.size is None:
            raise ConfigError(
                "resize_short: does not fit images of several sizes; use RandCropImage, or ResizeImage with size"
            )
        return replace(self, size=size)

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


@TRANSFORMS.register(name="Pad_paddle_vision")
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
        return pad(image, self._sides(), self.padding_mode, self.fill)


@TRANSFORMS.register
@dataclass(frozen=True)
class Padv2:
    """Pad the image to a fixed size, or to a multiple of a number.

    Args:
        size: a side or [width, height], in pixels; None pads to a multiple of ``size_divisor``.
        size_divisor: the sides become multiples of it if ``size`` is None.
        pad_mode: where the border is: 0 at the right and bottom, 1 at all sides, 2 at the left and top; -1 puts the
            image's corner at ``offsets``.
        offsets: [x, y] of the image's upper left corner, in pixels, for ``pad_mode`` -1.
        fill_value: colour of the border: one number or one per channel, rounded.

    Raises:
        ConfigError: an argument is invalid.
    """

    size: Optional[Union[int, Sequence[int]]] = None
    size_divisor: int = 32
    pad_mode: int = 0
    offsets: Optional[Sequence[int]] = None
    fill_value: Union[float, Sequence[float]] = (127.5, 127.5, 127.5)

    def __post_init__(self) -> None:
        if self.size is not None:
            size_pair("size", self.size)
        require_int("size_divisor", self.size_divisor, 1)
        require_choice("pad_mode", self.pad_mode, _PAD_MODES)
        if (self.pad_mode == -1) != (self.offsets is not None):
            raise ConfigError("offsets: give [x, y] with pad_mode -1, and with no other")
        if self.offsets is not None:
            if len(self.offsets) != 2:
                raise ConfigError(f"offsets: must be [x, y], not {list(self.offsets)!r}")
            for offset in self.offsets:
                require_int("offsets", offset, 0)
        fill_color(self.fill_value, "fill_value")

    @property
    def output_size(self) -> Optional[Tuple[int, int]]:
        """Return the height and width of the result; None where they depend on the image."""
        return None if self.size is None else size_pair("size", self.size)[::-1]

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the padded image [height, width, 3]."""
        check_hwc(image)
        height, width = image.shape[:2]
        if self.size is not None:
            target_width, target_height = size_pair("size", self.size)
        else:
            target_width, target_height = (
                -(-side // self.size_divisor) * self.size_divisor for side in (width, height)
            )
        across, down = target_width - width, target_height - height
        left, top = self._corner(across, down)
        if min(left, top, across - left, down - top) < 0:
            raise DataError(
                f"the image is {width} x {height} and does not fit into {target_width} x {target_height} (width x "
                f"height) at {left}, {top}; put ResizeImage before it"
            )
        return pad(image, [left, top, across - left, down - top], "constant", fill_color(self.fill_value))

    def _corner(self, across: int, down: int) -> Tuple[int, int]:
        """Return the position (x, y) of the image, where the borders add up to ``across`` and ``down`` pixels."""
        if self.offsets is not None:
            return self.offsets[0], self.offsets[1]
        return {0: (0, 0), 1: (across // 2, down // 2), 2: (across, down)}[self.pad_mode]


def pad(image: np.ndarray, sides: Sequence[int], mode: str, fill: Union[int, Sequence[int]]) -> np.ndarray:
    """Return the image [H, W, 3] with a border.

    Args:
        sides: its width at the left, top, right and bottom, in pixels.
        mode: a key of ``_BORDERS``.
        fill: value of a constant border.

    Raises:
        DataError: the image is too small to be reflected.
    """
    left, top, right, bottom = sides
    if mode == "reflect" and (max(left, right) >= image.shape[1] or max(top, bottom) >= image.shape[0]):
        raise DataError(f"the image {list(image.shape[:2])} is too small to reflect {max(sides)} pixels of it")
    value = channel_values(fill_color(fill), image.shape[2])
    return with_axis(cv2.copyMakeBorder(image, top, bottom, left, right, _BORDERS[mode], value=value))
