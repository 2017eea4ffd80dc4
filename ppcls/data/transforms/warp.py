"""Resizing and affine maps of images [H, W, C] uint8, with OpenCV (faster) or Pillow (the same as PyTorch pipelines).

They differ: OpenCV does not antialias when it reduces an image and rounds positions to 1/32 pixel, and Pillow's bicubic
coefficient is -0.5, not -0.75.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Callable, Sequence, Tuple

import numpy as np

from ppcls.errors import ConfigError
from ppcls.utils.opencv import cv2

BACKENDS = ("cv2", "pil")
FLAGS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
RANDOM = ("bilinear", "bicubic")
# Pillow's constants; its BOX is OpenCV's area.
_PILLOW = {"nearest": 0, "bilinear": 2, "bicubic": 3, "area": 4, "lanczos": 1}
# Affine maps sample single points, so the interpolations that average over an area are missing.
AFFINE = ("nearest", "bilinear", "bicubic")
Matrix = Tuple[float, float, float, float, float, float]


def pillow() -> Any:
    """Return the module PIL.Image, imported when it is first needed.

    Raises:
        ConfigError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError:
        raise ConfigError("backend: 'pil' needs Pillow: pip install pillow, or use 'cv2'") from None
    return Image


def choose_interpolation(interpolation: str, rng: np.random.Generator) -> str:
    """Return ``interpolation``; for "random", one of bilinear and bicubic at random."""
    return RANDOM[rng.integers(len(RANDOM))] if interpolation == "random" else interpolation


def resize(image: np.ndarray, size: Tuple[int, int], interpolation: str, backend: str) -> np.ndarray:
    """Return the image resized to ``size`` (width, height)."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    if backend == "cv2":
        return with_axis(cv2.resize(image, size, interpolation=FLAGS[interpolation]))
    return _by_pillow(image, lambda picture, _: picture.resize(size, _PILLOW[interpolation]))


def _by_pillow(image: np.ndarray, function: Callable[..., Any], fill: Tuple[int, ...] = (0, 0, 0)) -> np.ndarray:
    """Return an image [H, W, C] after a function of (Pillow image, fill colour).

    Pillow takes no single channel as [H, W, 1], and would multiply colours with alpha: only RGB is one of its images.
    """
    if image.shape[2] == 3:
        return np.asarray(function(pillow().fromarray(image), fill))
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))
    values = channel_values(fill, len(planes))
    done = [np.asarray(function(pillow().fromarray(plane), value)) for plane, value in zip(planes, values)]
    return np.stack(done, axis=2)


def with_axis(image: np.ndarray) -> np.ndarray:
    """Return an image [H, W, C], of whose single channel OpenCV has dropped the axis."""
    return image if image.ndim == 3 else image[:, :, None]


def channel_values(color: Sequence[int], channels: int) -> Tuple[int, ...]:
    """Return an RGB colour as the values of an image's channels: its first one for gray, opaque with an alpha channel.

    Args:
        channels: 1, 3 or 4.
    """
    return (*color[:channels], *(255,) * (channels - len(color)))


@dataclass(frozen=True)
class AffineSampler:
    """Applies affine maps to images.

    Args:
        interpolation: nearest, bilinear, bicubic or random.
        fill: colour outside of the image.
        backend: "cv2" or "pil".
    """

    interpolation: str = "bilinear"
    fill: Tuple[int, int, int] = (0, 0, 0)
    backend: str = "cv2"

    def affine(self, image: np.ndarray, matrix: Matrix, rng: np.random.Generator) -> np.ndarray:
        """Return the image after an affine map.

        The result at (x, y) is the input at (a x + b y + c, d x + e y + f), where ``matrix`` is (a, b, c, d, e, f). As
        in Pillow, coordinates are in pixels from the outer corner of the image, so that pixel centres are at .5.
        """
        interpolation = choose_interpolation(self.interpolation, rng)
        height, width = image.shape[:2]
        if self.backend == "pil":
            flag = _PILLOW[interpolation]
            return _by_pillow(
                image,
                lambda picture, fill: picture.transform((width, height), 0, matrix, flag, fillcolor=fill),
                self.fill,
            )
        a, b, c, d, e, f = matrix
        # OpenCV's coordinates start at the centre of the first pixel.
        inverse = np.array([[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]])
        flags = FLAGS[interpolation] | cv2.WARP_INVERSE_MAP
        value = channel_values(self.fill, image.shape[2])
        moved = cv2.warpAffine(
            image, inverse, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=value
        )
        return with_axis(moved)

    def rotate(self, image: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
        """Return the image rotated counterclockwise about its centre, with the same size."""
        if self.backend == "pil":
            interpolation = _PILLOW[choose_interpolation(self.interpolation, rng)]
            return _by_pillow(
                image, lambda picture, fill: picture.rotate(degrees, interpolation, fillcolor=fill), self.fill
            )
        height, width = image.shape[:2]
        return self.affine(image, rotation_matrix(degrees, width / 2, height / 2), rng)


def rotation_matrix(degrees: float, x: float, y: float) -> Matrix:
    """Return the matrix for ``AffineSampler.affine`` that rotates counterclockwise about the point (x, y)."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def shift_hue(image: np.ndarray, shift: float, backend: str) -> np.ndarray:
    """Return the image with its hues shifted by a fraction of the colour circle, -0.5 to 0.5."""
    steps = np.uint8(int(shift * 255) % 256)  # a byte covers the whole circle
    if backend == "pil":
        hsv = np.array(pillow().fromarray(image).convert("HSV"))
        hsv[:, :, 0] += steps
        return np.asarray(pillow().fromarray(hsv, "HSV").convert("RGB"))
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[:, :, 0] += steps
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def blur(image: np.ndarray, radius: float, backend: str) -> np.ndarray:
    """Return the image after a Gaussian blur with standard deviation ``radius``, in pixels."""
    if backend == "cv2":
        return cv2.GaussianBlur(image, (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    pillow()
    from PIL import ImageFilter

    return np.asarray(pillow().fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def mean_color(values: Sequence[float]) -> Tuple[int, int, int]:
    """Return a mean of 0..1 per channel as a fill colour of 0..255."""
    red, green, blue = (min(255, round(255 * value)) for value in values)
    return red, green, blue
