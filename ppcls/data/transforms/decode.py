"""Decode image files."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from ppcls.data.transforms import formats, warp
from ppcls.data.transforms.arguments import MAX_PIXELS, check_backend, check_hwc
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.errors import DataError
from ppcls.registry.checks import require_int
from ppcls.utils.opencv import cv2


@TRANSFORMS.register
@dataclass(frozen=True)
class DecodeImage:
    """Decode an image file. An array that is already an image is passed on.

    Args:
        to_rgb: return RGB channels; otherwise BGR.
        channel_first: return [3, H, W] instead of [H, W, 3].
        to_np: accepted for PaddleClas's recipes; the result is always an array.
        backend: "cv2", or "pil" for the pixels of torchvision's loader. They differ in the last bit of some JPEGs, and
            "pil" does not apply the EXIF orientation.
        max_pixels: images with more pixels are refused before memory is allocated.

    Raises:
        ConfigError: an argument is invalid.
    """

    to_rgb: bool = True
    channel_first: bool = False
    to_np: bool = False
    backend: str = "cv2"
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        check_backend(self.backend)
        require_int("max_pixels", self.max_pixels, 1)

    @property
    def output_layout(self) -> str:
        """Return the layout of the result."""
        return "chw" if self.channel_first else "hwc"

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the decoded image [H, W, 3] uint8, see ``decode_image``."""
        if isinstance(image, np.ndarray) and image.ndim != 1:
            check_hwc(image)
        else:
            image = decode_image(image, int(self.max_pixels), self.backend)
        if not self.to_rgb:
            image = np.ascontiguousarray(image[:, :, ::-1])
        return np.ascontiguousarray(image.transpose(2, 0, 1)) if self.channel_first else image


def decode_image(
    data: Union[bytes, bytearray, memoryview, np.ndarray], max_pixels: int = MAX_PIXELS, backend: str = "cv2"
) -> np.ndarray:
    """Decode an image file to RGB [H, W, 3] uint8, in any format that OpenCV (or Pillow) supports.

    Grayscale becomes three equal channels, the alpha channel is dropped, and 16 bits per channel are reduced to 8. The
    EXIF orientation is applied. For an animation, the first frame is returned.

    Args:
        data: the file's content: bytes, or a one-dimensional uint8 array.
        max_pixels: images with more pixels are refused before memory is allocated.
        backend: "cv2" or "pil", see ``DecodeImage``.

    Raises:
        DataError: the file is empty, not an image, truncated, too large or damaged.
    """
    if isinstance(data, np.ndarray):
        if data.dtype != np.uint8:
            raise DataError(f"takes a file's bytes, got an array of {data.dtype}")
        data = data.tobytes()
    elif not isinstance(data, (bytes, bytearray, memoryview)):
        raise DataError(f"takes a file's bytes or an image array, got {type(data).__name__}")
    data = bytes(data)
    kind = formats.check(data, max_pixels)
    if backend == "pil":
        return _decode_with_pillow(data, kind, max_pixels)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAG)
    except cv2.error as error:
        raise DataError(f"cannot be decoded ({kind}, {len(data)} bytes): {error.err or error}") from None
    if image is None:
        raise DataError(f"cannot be decoded: a damaged {kind}, or a variety that OpenCV does not read")
    if image.shape[0] * image.shape[1] > max_pixels:  # for formats whose header does not tell
        raise DataError(formats.too_large(image.shape[1], image.shape[0], max_pixels))
    return image if _IN_RGB else cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _decode_with_pillow(data: bytes, kind: str, max_pixels: int) -> np.ndarray:
    try:
        with warp.pillow().open(io.BytesIO(data)) as image:
            if image.width * image.height > max_pixels:  # for formats whose header does not tell
                raise DataError(formats.too_large(image.width, image.height, max_pixels))
            if image.mode.startswith("I;16"):  # otherwise it would be clipped at 255
                return np.repeat((np.asarray(image) >> 8).astype(np.uint8)[:, :, None], 3, axis=2)
            return np.array(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise DataError(f"cannot be decoded ({kind}, {len(data)} bytes): {error}") from None


# Decoding directly to RGB saves a conversion. OpenCV supports it since version 4.10.
_IN_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")
_FLAG = cv2.IMREAD_COLOR_RGB if _IN_RGB else cv2.IMREAD_COLOR
