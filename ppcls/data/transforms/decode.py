"""Decode image files."""

from __future__ import annotations

import importlib.util
import io
import struct
from dataclasses import dataclass
from typing import Any, Union

import numpy as np

from ppcls.data.transforms import conversion, formats, heif, orientation, pnm, tiff, warp
from ppcls.data.transforms.arguments import MAX_PIXELS, check_backend, check_hwc
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_int
from ppcls.utils.opencv import cv2


@TRANSFORMS.register
@dataclass(frozen=True)
class DecodeImage:
    """Decode an image file. An array that is already an image only gets its number of channels.

    Args:
        to_rgb: return RGB channels; otherwise BGR.
        channel_first: return [C, H, W] instead of [H, W, C].
        to_np: accepted for PaddleClas's recipes; the result is always an array.
        backend: "cv2", or "pil" for the pixels of torchvision's loader. They differ in the last bit of some JPEGs.
        max_pixels: images with more pixels are refused before memory is allocated.
        channels: 3 for RGB, 1 for grayscale or 4 for RGBA. It follows from Arch.in_channels where it is not given.

    Raises:
        ConfigError: an argument is invalid.
    """

    to_rgb: bool = True
    channel_first: bool = False
    to_np: bool = False
    backend: str = "cv2"
    max_pixels: int = MAX_PIXELS
    channels: int = 3

    def __post_init__(self) -> None:
        check_backend(self.backend)
        require_int("max_pixels", self.max_pixels, 1)
        require_choice("channels", self.channels, conversion.CHANNELS)

    @property
    def output_layout(self) -> str:
        """Return the layout of the result."""
        return "chw" if self.channel_first else "hwc"

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the decoded image [H, W, C] uint8, see ``decode_image``."""
        if isinstance(image, np.ndarray) and image.ndim != 1:
            check_hwc(image)
            image = conversion.to_channels(image, self.channels)
        else:
            image = decode_image(image, int(self.max_pixels), self.backend, self.channels)
        if not self.to_rgb and self.channels > 1:
            image = np.ascontiguousarray(image[:, :, [2, 1, 0, 3][: self.channels]])
        return np.ascontiguousarray(image.transpose(2, 0, 1)) if self.channel_first else image


def decode_image(
    data: Union[bytes, bytearray, memoryview, np.ndarray],
    max_pixels: int = MAX_PIXELS,
    backend: str = "cv2",
    channels: int = 3,
) -> np.ndarray:
    """Decode an image file to [H, W, C] uint8, in any format that OpenCV (or Pillow) supports.

    The picture is turned upright (see ``orientation``), and of 16 bits per sample the upper 8 are kept. Integers of 32
    bits and floats are refused; of Radiance HDR, OpenCV takes 0 to 1 as 0 to 255. For an animation, the first frame is
    returned. Channels: see ``conversion.to_channels``.

    Args:
        data: the file's content: bytes, or a one-dimensional uint8 array.
        max_pixels: images with more pixels are refused before memory is allocated.
        backend: "cv2" or "pil", see ``DecodeImage``.
        channels: 3 for RGB, 1 for grayscale or 4 for RGBA.

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
    if kind == "JPEG XL":
        raise DataError("a JPEG XL image, which is not supported; save it as PNG or JPEG")
    if kind == "HEIF":
        image = heif.decode(data, max_pixels)
    elif kind == "PNM" and not pnm.decoders_agree(data):
        image = pnm.decode(data)
    elif backend == "pil" or _needs_pillow(data, kind):
        image = _decode_with_pillow(data, kind, max_pixels)
    else:
        image = _decode_with_opencv(data, kind, max_pixels, with_alpha=channels == 4)
    return conversion.to_channels(orientation.upright(image, orientation.of_file(data, kind)), channels)


def _needs_pillow(data: bytes, kind: str) -> bool:
    """Return whether OpenCV would change the colours below transparency."""
    if kind == "GIF":
        return importlib.util.find_spec("PIL") is not None
    return kind == "TIFF" and tiff.read(data).has_alpha


def _decode_with_opencv(data: bytes, kind: str, max_pixels: int, with_alpha: bool) -> np.ndarray:
    """Return the pixels as they are stored: RGB [H, W, 3], or RGBA [H, W, 4] if that is wanted and the file has it."""
    array = np.frombuffer(data, np.uint8)
    # OpenCV's own reduction of 16 bits differs between formats, and AVIF with alpha loses precision without it.
    unchanged = kind == "AVIF" or (kind == "TIFF" and tiff.read(data).bits == 16)
    try:
        image = cv2.imdecode(array, cv2.IMREAD_UNCHANGED if unchanged else _FLAG | cv2.IMREAD_IGNORE_ORIENTATION)
        stored = cv2.imdecode(array, cv2.IMREAD_UNCHANGED) if with_alpha and kind not in _WITHOUT_ALPHA else None
    except cv2.error as error:
        raise DataError(f"cannot be decoded ({kind}, {len(data)} bytes): {error.err or error}") from None
    if image is None:
        raise DataError(f"cannot be decoded: a damaged {kind}, or a variety that OpenCV does not read")
    if image.shape[0] * image.shape[1] > max_pixels:  # for formats whose header does not tell
        raise DataError(formats.too_large(image.shape[1], image.shape[0], max_pixels))
    if unchanged:
        image = _rgb_of_unchanged(image, kind)
    elif not _IN_RGB:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)
    if stored is None or stored.ndim != 3 or stored.shape[2] != 4:
        return image
    return np.concatenate([image, _to_8_bits(stored[:, :, 3:], kind)], axis=2)


def _rgb_of_unchanged(image: np.ndarray, kind: str) -> np.ndarray:
    image = _to_8_bits(image, kind)
    if image.ndim == 2:
        return conversion.to_channels(image[:, :, None], 3)
    return np.ascontiguousarray(image[:, :, 2::-1])


def _to_8_bits(image: np.ndarray, kind: str) -> np.ndarray:
    if image.dtype == np.uint16:
        return (image >> 8).astype(np.uint8)
    if image.dtype != np.uint8:
        raise DataError(f"a {kind} of {image.dtype} samples: which value is white is not known")
    return image


def _decode_with_pillow(data: bytes, kind: str, max_pixels: int) -> np.ndarray:
    """Return the pixels as they are stored: RGBA [H, W, 4] if there is an alpha channel, else RGB [H, W, 3]."""
    try:
        with warp.pillow().open(io.BytesIO(data)) as image:
            if image.width * image.height > max_pixels:  # for formats whose header does not tell
                raise DataError(formats.too_large(image.width, image.height, max_pixels))
            return conversion.stored_pixels(image)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:
        raise DataError(f"cannot be decoded ({kind}, {len(data)} bytes): {error}") from None
    except ConfigError:  # chosen by OpenCV's limits, not by the recipe
        raise DataError(f"a {kind} with an alpha channel needs Pillow: pip install pillow") from None


# Decoding directly to RGB saves a conversion. OpenCV supports it since version 4.10.
_IN_RGB = hasattr(cv2, "IMREAD_COLOR_RGB")
_FLAG = cv2.IMREAD_COLOR_RGB if _IN_RGB else cv2.IMREAD_COLOR
_WITHOUT_ALPHA = ("JPEG", "TIFF")  # of TIFFs, those with alpha are decoded with Pillow
