"""One image to predict, and how to read it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Callable, NamedTuple, Union

import numpy as np

from ppcls.data.transforms.conversion import is_pillow, pixels_from_array, pixels_from_pillow
from ppcls.errors import DataError
from ppcls.inference.download import fetch

MAX_BYTES = 2**30  # of a file; the largest image that is decoded fits in any format


class Url(str):
    """The address of an image."""

    __slots__ = ()


class FrameName(str):
    """The name of a video's frame, such as ``clip.mp4#t=1.5``, a media fragment (https://www.w3.org/TR/media-frags/).

    Args:
        video: the name of the video.
        time: seconds from its first frame; rounded to milliseconds.

    Attributes:
        time: as above.
    """

    time: float

    def __new__(cls, video: str, time: float) -> FrameName:
        """Return the name."""
        rounded = round(time, 3)
        name = super().__new__(cls, f"{video}#t={f'{rounded:.3f}'.rstrip('0').rstrip('.')}")
        name.time = rounded
        return name


class Source(NamedTuple):
    """One image to predict.

    Attributes:
        name: the image's name in the results.
        data: a file, an address, encoded bytes, an array (uint8: RGB [H, W, 3], RGBA [H, W, 4], grayscale [H, W] or
            [H, W, 1], or [N] encoded bytes), a Pillow image; or an error, which ``read`` raises.
    """

    name: str
    data: Any

    def read(self, stopped: Callable[[], bool] = lambda: False) -> Union[bytes, np.ndarray]:
        """Return the encoded image, or its pixels [H, W, C] uint8: RGB or RGBA.

        Args:
            stopped: asked during a download whether to give up.

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
            return pixels_from_array(data)
        return pixels_from_pillow(data) if is_pillow(data) else bytes(data)

    def copied(self) -> Source:
        """Return a copy that the caller cannot change; a Pillow image is read for that."""
        if is_pillow(self.data):
            try:
                return Source(self.name, pixels_from_pillow(self.data))
            except DataError as error:
                return Source(self.name, error)
        if isinstance(self.data, (bytearray, memoryview)):
            return Source(self.name, bytes(self.data))
        return Source(self.name, self.data.copy()) if isinstance(self.data, np.ndarray) else self


def _read_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            large = os.fstat(file.fileno()).st_size > MAX_BYTES
            content = b"" if large else file.read(MAX_BYTES + 1)  # the size of a device is not known
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}") from None
    if large or len(content) > MAX_BYTES:
        raise DataError(f"more than {MAX_BYTES} bytes: not an image to classify")
    return content
