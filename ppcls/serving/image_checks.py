"""Checks of uploaded images before they are decoded."""

from __future__ import annotations

from ppcls.data.transforms import formats
from ppcls.errors import DataError

# Preprocessing scales the short side: the long side of a very thin picture would fill the memory.
MAX_ASPECT_RATIO = 100
_KINDS = ("JPEG", "PNG", "GIF", "BMP", "WebP", "TIFF")


def check(data: bytes, max_pixels: int) -> None:
    """Check an uploaded file by its header.

    Raises:
        DataError: of another format, damaged, with too many pixels, or too thin.
    """
    kind, width, height = formats.read_header(data)
    if kind not in _KINDS:
        raise DataError(f"not an image of a known format; the server takes {', '.join(_KINDS)}")
    if not width or not height:
        raise DataError(f"the {kind} does not tell its size, or has none")
    if width * height > max_pixels:
        raise DataError(f"the image is {width} x {height}, more than {max_pixels} pixels; make it smaller")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        raise DataError(
            f"the image is {width} x {height}, one side more than {MAX_ASPECT_RATIO} times the other; crop it"
        )
