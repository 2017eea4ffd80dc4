"""Images that are Python objects already, arrays and Pillow images, as arrays; and how many channels images have."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppcls.data.transforms import orientation, pixels
from ppcls.errors import DataError

CHANNELS = (1, 3, 4)  # grayscale, RGB, RGBA
# What Pillow converts to RGB without loss of range; of 32 bits it would cut off the upper values.
_PILLOW_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV")
_PILLOW_16_BITS = "I;16"
_FORMATS_OF_16_BITS = ("PNG", "PPM")  # which Pillow, or earlier versions of it, open in the mode of 32 bits
_PILLOW_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")


def is_pillow(data: Any) -> bool:
    """Return whether this is an image of Pillow's, without importing Pillow."""
    return all(hasattr(data, name) for name in ("mode", "convert", "getexif"))


def pixels_from_array(array: np.ndarray) -> np.ndarray:
    """Return an array as an image [H, W, C] uint8: RGBA if it has an alpha channel, else RGB.

    Args:
        array: uint8: RGB [H, W, 3], RGBA [H, W, 4], grayscale [H, W] or [H, W, 1]; or [N] encoded bytes, which stay
            as they are.

    Raises:
        DataError: it has another type or shape.
    """
    if array.dtype != np.uint8:
        advice = "from 0 to 1, (array * 255).astype(np.uint8)"
        if array.dtype.kind in "iu":
            advice = "from 0 to 255, array.astype(np.uint8); from 0 to 65535, (array >> 8).astype(np.uint8)"
        raise DataError(f"an array of {array.dtype}: takes uint8, 0 to 255; for values {advice}")
    if array.ndim == 1:
        return array
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in CHANNELS or not array.size:
        hint = "; give several images as a list: list(array)" if array.ndim == 4 else ""
        raise DataError(
            f"an array of shape {list(array.shape)}: takes RGB [H, W, 3], RGBA [H, W, 4] or grayscale [H, W]{hint}"
        )
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else np.ascontiguousarray(array)


def pixels_from_pillow(image: Any) -> np.ndarray:
    """Return a Pillow image as an image [H, W, C] uint8, upright: RGBA if it has an alpha channel, else RGB.

    Raises:
        DataError: its mode cannot be converted without loss, or its file cannot be read.
    """
    try:
        array = stored_pixels(image)
        return orientation.upright(array, orientation.of_pillow(image))
    except (OSError, ValueError, SyntaxError) as error:  # it reads the file only now
        raise DataError(f"Pillow cannot read it: {error}") from None


def stored_pixels(image: Any) -> np.ndarray:
    """Return the pixels of a Pillow image as they are stored: RGBA [H, W, 4] with an alpha channel, else [H, W, 3].

    Raises:
        DataError: its mode cannot be converted without loss.
        OSError, ValueError, SyntaxError: its file cannot be read.
    """
    of_16_bits = image.mode == "I" and getattr(image, "format", None) in _FORMATS_OF_16_BITS
    if image.mode.startswith(_PILLOW_16_BITS) or of_16_bits:  # converted by Pillow, it would be clipped at 255
        return to_channels((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3)
    if image.mode not in _PILLOW_MODES:
        raise DataError(
            f"a Pillow image of mode {image.mode}: takes {', '.join(_PILLOW_MODES)} and {_PILLOW_16_BITS}; of others, "
            f"which value is white is not known"
        )
    if image.mode in _PILLOW_ALPHA or "transparency" in image.info:
        alpha = np.asarray(image.convert("RGBA"))[:, :, 3:]
        return np.concatenate([np.asarray(image.convert("RGB")), alpha], axis=2)
    return np.array(image.convert("RGB"))


def to_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """Return an image [H, W, 1, 3 or 4] uint8 with another number of channels.

    Gray becomes three equal channels, colour becomes its luma (ITU-R 601-2, as Pillow's mode L), alpha is dropped where
    it is not wanted and 255 where it is missing.

    Args:
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
    """
    if image.shape[2] == channels:
        return image
    if channels == 1:
        return pixels.grayscale(np.ascontiguousarray(image[:, :, :3]))[:, :, None]
    rgb = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[:, :, :3]
    if channels == 3:
        return np.ascontiguousarray(rgb)
    return np.concatenate([rgb, np.full((*rgb.shape[:2], 1), 255, np.uint8)], axis=2)
