"""Checks of what a recipe gives to a transform, and of the image that reaches it."""

from __future__ import annotations

import math
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.errors import ConfigError, DataError
from ppcls.utils.opencv import cv2

FLAGS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
_RANDOM = ("bilinear", "bicubic")


def integer(name: str, value: Any, minimum: int) -> int:
    """Return ``value`` as an int (recipes may say 1e2).

    Raises:
        ConfigError: it is no whole number, or below ``minimum``.
    """
    whole = isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
    if not whole or value < minimum:
        raise ConfigError(f"{name}: must be a whole number from {minimum} up, not {value!r}")
    return int(value)


def size_pair(name: str, value: Union[int, Sequence[int]]) -> Tuple[int, int]:
    """Return (width, height) in pixels of a square's side or a [width, height] pair.

    Raises:
        ConfigError: neither.
    """
    if isinstance(value, (list, tuple)):
        if len(value) != 2:
            raise ConfigError(f"{name}: must be a side or [width, height], not {value!r}")
        return integer(name, value[0], 1), integer(name, value[1], 1)
    side = integer(name, value, 1)
    return side, side


def limits(name: str, value: Optional[Sequence[float]], default: Tuple[float, float]) -> Tuple[float, float]:
    """Return a (low, high) pair of positive numbers.

    Raises:
        ConfigError: not two numbers with 0 < low <= high.
    """
    if value is None:
        return default
    if isinstance(value, str) or not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ConfigError(f"{name}: must be [low, high], not {value!r}")
    low, high = (number(name, item) for item in value)
    if not 0 < low <= high:
        raise ConfigError(f"{name}: must be [low, high] with 0 < low <= high, not {value!r}")
    return low, high


def number(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    Raises:
        ConfigError: it is no finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ConfigError(f"{name}: must be a number, not {value!r}")
    return float(value)


def probability(name: str, value: Any) -> float:
    """Return ``value`` as a float.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 <= number(name, value) <= 1:
        raise ConfigError(f"{name}: must be between 0 and 1, not {value!r}")
    return float(value)


def check_choice(name: str, value: Any, allowed: Sequence[Any]) -> None:
    """Check that ``value`` is one of ``allowed``.

    Raises:
        ConfigError: it is not.
    """
    if isinstance(value, bool) or value not in allowed:
        raise ConfigError(f"{name}: must be one of {', '.join(map(repr, allowed))}, not {value!r}")


def check_backend(value: str) -> None:
    """Check the library that a recipe wants for decoding or resizing.

    Raises:
        ConfigError: it is not OpenCV: other libraries give other pixels, so it cannot just be used instead.
    """
    if value != "cv2":
        raise ConfigError(f"backend: only 'cv2' is available, not {value!r}; their pixels differ a little")


def check_interpolation(value: Optional[str]) -> None:
    """Check an interpolation's name.

    Raises:
        ConfigError: unknown name.
    """
    if value is not None:
        check_choice("interpolation", value, (*FLAGS, "random"))


def resize(image: np.ndarray, size: Tuple[int, int], interpolation: Optional[str], rng: np.random.Generator) -> Any:
    """Return ``image`` [H, W, C] resized to ``size`` (width, height); "random" is bilinear or bicubic."""
    if interpolation == "random":
        interpolation = _RANDOM[rng.integers(len(_RANDOM))]
    if (image.shape[1], image.shape[0]) == size:
        return image
    return cv2.resize(image, size, interpolation=FLAGS[interpolation or "bilinear"])


def check_hwc(image: Any) -> None:
    """Check that a decoded image [H, W, 3] arrived.

    Raises:
        DataError: something else did; the message says what, and what to change.
    """
    if isinstance(image, (bytes, bytearray, memoryview)) or (isinstance(image, np.ndarray) and image.ndim == 1):
        raise DataError("got an undecoded file; put DecodeImage first")
    if not isinstance(image, np.ndarray):
        raise DataError(f"got {type(image).__name__}, takes an image array")
    if image.ndim == 3 and image.shape[2] == 3:
        return
    if image.ndim == 3 and image.shape[0] == 3:
        raise DataError(f"got a channels-first image {list(image.shape)}; put ToCHWImage (channel_first) after this")
    raise DataError(f"got an array of shape {list(image.shape)}, takes an image [H, W, 3]")
