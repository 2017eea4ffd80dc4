"""Resizing and affine maps of an image [H, W, 3] uint8, by OpenCV (fast) or by Pillow (as PyTorch pipelines compute).

OpenCV does not average over the pixels that a smaller image leaves out (no antialiasing), and rounds positions to 1/32
pixel; Pillow's bicubic has another coefficient (-0.5, not -0.75).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Sequence, Tuple

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
# Pillow's numbers; its BOX is what others call area.
_PILLOW = {"nearest": 0, "bilinear": 2, "bicubic": 3, "area": 4, "lanczos": 1}
# Affine maps look at single points: no averaging kinds.
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


def choose(interpolation: str, rng: np.random.Generator) -> str:
    """Return ``interpolation``, or for "random" one of bilinear and bicubic."""
    return RANDOM[rng.integers(len(RANDOM))] if interpolation == "random" else interpolation


def resize(image: np.ndarray, size: Tuple[int, int], interpolation: str, backend: str) -> np.ndarray:
    """Return the image resized to ``size`` (width, height)."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    if backend == "cv2":
        return cv2.resize(image, size, interpolation=FLAGS[interpolation])
    return np.asarray(pillow().fromarray(image).resize(size, _PILLOW[interpolation]))


@dataclass(frozen=True)
class Canvas:
    """How an affine map looks up pixels: the kind of interpolation, what lies outside the image, the library."""

    interpolation: str = "bilinear"
    fill: Tuple[int, int, int] = (0, 0, 0)
    backend: str = "cv2"

    def affine(self, image: np.ndarray, matrix: Matrix, rng: np.random.Generator) -> np.ndarray:
        """Return the image whose point (x, y) is the original's (a x + b y + c, d x + e y + f), for (a, b, c, d, e, f).

        Points are counted in pixels from the outer corner, so that pixel centres lie at .5, as Pillow has it.
        """
        kind = choose(self.interpolation, rng)
        height, width = image.shape[:2]
        if self.backend == "pil":
            return np.asarray(
                pillow().fromarray(image).transform((width, height), 0, matrix, _PILLOW[kind], fillcolor=self.fill)
            )
        a, b, c, d, e, f = matrix
        # OpenCV counts from the centre of the first pixel.
        inverse = np.array([[a, b, c + (a + b - 1) / 2], [d, e, f + (d + e - 1) / 2]])
        flags = FLAGS[kind] | cv2.WARP_INVERSE_MAP
        return cv2.warpAffine(
            image, inverse, (width, height), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=self.fill
        )

    def rotate(self, image: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
        """Return the image turned counterclockwise about its centre; it keeps its size."""
        if self.backend == "pil":
            kind = _PILLOW[choose(self.interpolation, rng)]
            return np.asarray(pillow().fromarray(image).rotate(degrees, kind, fillcolor=self.fill))
        height, width = image.shape[:2]
        return self.affine(image, rotation(degrees, width / 2, height / 2), rng)


def rotation(degrees: float, x: float, y: float) -> Matrix:
    """Return the map of ``Canvas.affine`` that turns an image counterclockwise about the point (x, y)."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return (cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y)


def hue(image: np.ndarray, shift: float, backend: str) -> np.ndarray:
    """Return the image with its hues turned by ``shift`` of the colour circle, -0.5 to 0.5."""
    steps = np.uint8(int(shift * 255) % 256)  # one byte is the whole circle
    if backend == "pil":
        hsv = np.array(pillow().fromarray(image).convert("HSV"))
        hsv[:, :, 0] += steps
        return np.asarray(pillow().fromarray(hsv, "HSV").convert("RGB"))
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    hsv[:, :, 0] += steps
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def blur(image: np.ndarray, radius: float, backend: str) -> np.ndarray:
    """Return the image under a Gaussian blur of standard deviation ``radius``, in pixels."""
    if backend == "cv2":
        return cv2.GaussianBlur(image, (0, 0), radius, borderType=cv2.BORDER_REPLICATE)
    pillow()
    from PIL import ImageFilter

    return np.asarray(pillow().fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def colour(values: Sequence[float]) -> Tuple[int, int, int]:
    """Return a mean of 0..1 a channel as a fill colour of 0..255."""
    red, green, blue = (min(255, round(255 * value)) for value in values)
    return red, green, blue
