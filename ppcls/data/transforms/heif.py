"""HEIF images (.heic), which phones write. They are decoded with pillow-heif, the extra ``[heic]``."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppcls.data.transforms import conversion, formats
from ppcls.errors import DataError
from ppcls.utils.extras import install_command

NEEDED = f"HEIC images need pillow-heif: {install_command('heic')}"


def available() -> bool:
    """Return whether HEIF images can be decoded."""
    return _module() is not None


def decode(data: bytes, max_pixels: int) -> np.ndarray:
    """Return the pixels of an encoded image, upright: RGBA [H, W, 4] if there is an alpha channel, else RGB [H, W, 3].

    Raises:
        DataError: it is damaged or has too many pixels, or pillow-heif is not installed.
    """
    image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise DataError(formats.too_large(width, height, max_pixels))
    try:
        return conversion.stored_pixels(image.to_pillow())
    except (OSError, ValueError, RuntimeError, SyntaxError, EOFError) as error:
        raise DataError(f"cannot be decoded (HEIF, {len(data)} bytes): {error}") from None


def check(data: bytes) -> None:
    """Check the container of an encoded image, without decoding it.

    Raises:
        DataError: see ``decode``.
    """
    _open(data)


def _open(data: bytes) -> Any:
    module = _module()
    if module is None:
        raise DataError(NEEDED)
    try:
        return module.open_heif(data, convert_hdr_to_8bit=True)
    except (OSError, ValueError, RuntimeError, SyntaxError, EOFError) as error:
        raise DataError(f"cannot be decoded (HEIF, {len(data)} bytes): {error}") from None


def _module() -> Any:
    try:
        import pillow_heif
    except ImportError:
        return None
    return pillow_heif
