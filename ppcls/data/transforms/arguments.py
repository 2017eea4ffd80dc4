"""Checks of the arguments of transforms and of the images that they receive."""

from __future__ import annotations

from typing import Any, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms import warp
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_int, require_number

MAX_PIXELS = 178_956_970  # of an image, which takes half a gigabyte; Pillow's limit against decompression bombs


def size_pair(name: str, value: Union[int, Sequence[int]]) -> Tuple[int, int]:
    """Return (width, height) in pixels.

    Args:
        value: side of a square, or [width, height].

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ConfigError(f"{name}: must be a side or [width, height], not {value!r}")
        return require_int(name, value[0], 1), require_int(name, value[1], 1)
    side = require_int(name, value, 1)
    return side, side


def limits(name: str, value: Optional[Sequence[float]], default: Tuple[float, float]) -> Tuple[float, float]:
    """Return (low, high), or ``default`` for None.

    Raises:
        ConfigError: the value is not [low, high] with 0 < low <= high.
    """
    if value is None:
        return default
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"{name}: must be [low, high], not {value!r}")
    low, high = (require_number(name, item) for item in value)
    if not 0 < low <= high:
        raise ConfigError(f"{name}: must be [low, high] with 0 < low <= high, not {value!r}")
    return low, high


def check_backend(value: str) -> None:
    """Check the name of the library that decodes, resizes or rotates images.

    Raises:
        ConfigError: it is unknown, or it is Pillow and Pillow is not installed.
    """
    require_choice("backend", value, warp.BACKENDS)
    if value == "pil":
        warp.pillow()


def check_interpolation(value: Optional[str]) -> None:
    """Check the interpolation for resizing; None means the default.

    Raises:
        ConfigError: the name is unknown.
    """
    if value is not None:
        require_choice("interpolation", value, (*warp.FLAGS, "random"))


def check_affine_interpolation(value: str) -> None:
    """Check the interpolation for rotations, shears and translations.

    Raises:
        ConfigError: the name is unknown.
    """
    require_choice("interpolation", value, (*warp.AFFINE, "random"))


def per_channel(name: str, values: Any, counts: Sequence[int] = (3,)) -> List[float]:
    """Return a list of numbers, one per channel.

    Args:
        counts: numbers of channels that are possible.

    Raises:
        ConfigError: they are no such list.
    """
    if not isinstance(values, (list, tuple)) or len(values) not in counts:
        count = "three numbers" if counts == (3,) else f"a list of {', '.join(map(str, counts))} numbers"
        raise ConfigError(f"{name}: must be {count}, one per channel, not {values!r}")
    return [require_number(name, value) for value in values]


def resize(
    image: np.ndarray, size: Tuple[int, int], interpolation: Optional[str], backend: str, rng: np.random.Generator
) -> np.ndarray:
    """Return ``image`` [H, W, C] resized to ``size`` (width, height). The interpolation is bilinear by default.

    Raises:
        DataError: the result would be too large, as when the short side of a very thin image is enlarged.
    """
    width, height = size
    if width * height > max(MAX_PIXELS, image.shape[0] * image.shape[1]):
        raise DataError(
            f"the image is {image.shape[1]} x {image.shape[0]} and would be resized to {width} x {height}, more than "
            f"{MAX_PIXELS} pixels; crop it"
        )
    return warp.resize(image, size, warp.choose_interpolation(interpolation or "bilinear", rng), backend)


def fill_color(fill: Union[float, Sequence[float]], name: str = "fill") -> Tuple[int, int, int]:
    """Return an RGB colour, given as one number for all channels or as three numbers.

    Args:
        name: of the argument.

    Raises:
        ConfigError: it is neither, or not from 0 to 255.
    """
    values = [require_number(name, value) for value in (fill if isinstance(fill, (list, tuple)) else [fill])]
    if len(values) not in (1, 3) or not all(0 <= value <= 255 for value in values):
        raise ConfigError(f"{name}: must be from 0 to 255, one number or three, not {fill!r}")
    return round(values[0]), round(values[len(values) // 2]), round(values[-1])


def require_stages(name: str, values: Optional[Sequence[Any]]) -> None:
    """Check the values of an argument for the stages of progressive training; None means that it does not change.

    Raises:
        ConfigError: they are not a list of at least one value.
    """
    if values is not None and (not isinstance(values, (list, tuple)) or not values):
        raise ConfigError(f"{name}: must be a list with one value per stage, not {values!r}")


def check_hwc(image: Any) -> None:
    """Check that ``image`` is an image [H, W, C] of 1, 3 or 4 channels.

    Raises:
        DataError: it is not; the message says what it is and what to change.
    """
    if isinstance(image, (bytes, bytearray, memoryview)) or (isinstance(image, np.ndarray) and image.ndim == 1):
        raise DataError("got an undecoded file; put DecodeImage first")
    if not isinstance(image, np.ndarray):
        raise DataError(f"got {type(image).__name__}, takes an image array")
    if image.ndim == 3 and image.shape[2] in (1, 3, 4):
        return
    if image.ndim == 3 and image.shape[0] in (1, 3, 4):
        raise DataError(f"got a channels-first image {list(image.shape)}; put ToCHWImage (channel_first) after this")
    raise DataError(f"got an array of shape {list(image.shape)}, takes an image [H, W, 3]")


def require_splits(value: int) -> None:
    """Check the number of images that a transform makes of each one; 0 and 1 mean one.

    Raises:
        ConfigError: it is negative.
    """
    require_int("splits", value, 0)
