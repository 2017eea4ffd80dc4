"""Images that are Python objects already: arrays and Pillow images, as RGB arrays."""

from __future__ import annotations

from typing import Any, Callable, Dict

import numpy as np

from ppcls.errors import DataError

_EXIF_ORIENTATION = 0x0112
# What Pillow converts to RGB without loss of range; of 16 and 32 bits it would cut off the upper values.
_PILLOW_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV")
# By the orientation's number, what brings the picture upright (Exif 2.32, section 4.6.4).
_UPRIGHT: Dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}


def is_pillow(data: Any) -> bool:
    """Return whether this is an image of Pillow's, without importing Pillow."""
    return all(hasattr(data, name) for name in ("mode", "convert", "getexif"))


def rgb_from_array(array: np.ndarray) -> np.ndarray:
    """Return an array as RGB [H, W, 3] uint8: gray in three channels, what is below transparency shown.

    Args:
        array: uint8: RGB [H, W, 3], RGBA [H, W, 4], grayscale [H, W] or [H, W, 1]; or [N] encoded bytes, which stay
            as they are.

    Raises:
        DataError: it has another type or shape.
    """
    if array.dtype != np.uint8:
        scale = "from 0 to 255, array" if array.dtype.kind in "iu" else "from 0 to 1, (array * 255)"
        advice = f"for values {scale}.astype(np.uint8)"
        raise DataError(f"an array of {array.dtype}: takes uint8, 0 to 255; {advice}")
    if array.ndim == 1:
        return array
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or not array.size:
        hint = "; give several images as a list: list(array)" if array.ndim == 4 else ""
        raise DataError(
            f"an array of shape {list(array.shape)}: takes RGB [H, W, 3], RGBA [H, W, 4] or grayscale [H, W]{hint}"
        )
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else np.ascontiguousarray(array[:, :, :3])


def rgb_from_pillow(image: Any) -> np.ndarray:
    """Return a Pillow image as RGB [H, W, 3] uint8, upright.

    Raises:
        DataError: its mode cannot be converted without loss, or its file cannot be read.
    """
    if image.mode not in _PILLOW_MODES:
        raise DataError(f"a Pillow image of mode {image.mode}: takes {', '.join(_PILLOW_MODES)}, or the file itself")
    try:
        pixels = np.asarray(image.convert("RGB"))
        turned = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError) as error:  # it reads the file only now
        raise DataError(f"Pillow cannot read it: {error}") from None
    return np.ascontiguousarray(turned(pixels) if turned else pixels)
