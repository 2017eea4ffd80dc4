"""One image to predict, from wherever it is to bytes or pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, Dict, NamedTuple, Union

import numpy as np

from ppcls.errors import DataError
from ppcls.inference.download import fetch

MAX_BYTES = 2**30  # of a file; an image of the largest size that is decoded fits, whatever its format
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


class Url(str):
    """The address of an image."""

    __slots__ = ()


class Source(NamedTuple):
    """One image to predict.

    Attributes:
        name: what it is called in the results.
        data: a file, an address, encoded bytes, an array (uint8: RGB [H, W, 3], RGBA [H, W, 4], grayscale [H, W] or
            [H, W, 1], or [N] encoded bytes), a Pillow image; or the error that there is instead of an image.
    """

    name: str
    data: Any

    def read(self, stopped: Callable[[], bool] = lambda: False) -> Union[bytes, np.ndarray]:
        """Return the encoded image, or its pixels: RGB [H, W, 3] uint8.

        Args:
            stopped: asked during a download whether the image is still wanted.

        Raises:
            DataError: it cannot be read, or is no image.
        """
        data = self.data
        if isinstance(data, DataError):
            raise data
        if isinstance(data, Url):
            return fetch(data, stopped=stopped)
        if isinstance(data, Path):
            return _read_file(data)
        if isinstance(data, np.ndarray):
            return _rgb(data)
        return _from_pillow(data) if is_pillow(data) else bytes(data)

    def detached(self) -> Source:
        """Return the source with nothing in it that whoever made it can change; a Pillow image is read for that."""
        if is_pillow(self.data):
            try:
                return Source(self.name, _from_pillow(self.data))
            except DataError as error:
                return Source(self.name, error)
        if isinstance(self.data, (bytearray, memoryview)):
            return Source(self.name, bytes(self.data))
        return Source(self.name, self.data.copy()) if isinstance(self.data, np.ndarray) else self


def is_pillow(data: Any) -> bool:
    """Return whether this is an image of Pillow's, without importing Pillow."""
    return all(hasattr(data, name) for name in ("mode", "convert", "getexif"))


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            large = os.fstat(file.fileno()).st_size > MAX_BYTES
            content = b"" if large else file.read(MAX_BYTES + 1)  # of a device the size is not known
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    if large or len(content) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES} bytes: not an image to classify")
    return content


def _rgb(array: np.ndarray) -> np.ndarray:
    """Return an array as files of its kind are decoded: gray in three channels, what is below transparency shown."""
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


def _from_pillow(image: Any) -> np.ndarray:
    if image.mode not in _PILLOW_MODES:
        raise DataError(f"a Pillow image of mode {image.mode}: takes {', '.join(_PILLOW_MODES)}, or the file itself")
    try:
        pixels = np.asarray(image.convert("RGB"))
        turned = _UPRIGHT.get(image.getexif().get(_EXIF_ORIENTATION, 1))
    except (OSError, ValueError, SyntaxError) as error:  # it reads the file only now
        raise DataError(f"Pillow cannot read it: {error}") from None
    return np.ascontiguousarray(turned(pixels) if turned else pixels)
