"""Transforms that hide random parts of an image: RandomErasing, Cutout, GridMask, HideAndSeek."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.transforms.arguments import check_hwc, fill_color, per_channel
from ppcls.data.transforms.conversion import CHANNELS
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import AffineSampler, channel_values
from ppcls.errors import ConfigError, DataError
from ppcls.registry.checks import require_choice, require_factor, require_int, require_number, require_probability


@TRANSFORMS.register
@dataclass(frozen=True)
class RandomErasing:
    """Fill a random rectangle (https://arxiv.org/abs/1708.04896). Use it after NormalizeImage, with either layout.

    Args:
        EPSILON: probability that an image is changed.
        sl: smallest area of the rectangle, as a fraction of the image's area.
        sh: largest area.
        r1: smallest aspect ratio (height / width); the largest is 1 / r1.
        mean: fill value in mode "const", one normalized value per channel; 0 for others.
        attempt: number of attempts to draw a rectangle that fits.
        use_log_aspect: draw the logarithm of the aspect ratio uniformly, as timm does.
        mode: "const"; "rand" (one normally distributed colour); or "pixel" (normally distributed noise).
        min_count: smallest number of rectangles. They share the area.
        max_count: largest number of rectangles, drawn uniformly; ``min_count`` by default.

    Raises:
        ConfigError: an argument is invalid.
    """

    EPSILON: float = 0.5
    sl: float = 0.02
    sh: float = 0.4
    r1: float = 0.3
    mean: Sequence[float] = (0.0, 0.0, 0.0)
    attempt: int = 100
    use_log_aspect: bool = False
    mode: str = "const"
    min_count: int = 1
    max_count: Optional[int] = None

    def __post_init__(self) -> None:
        require_probability("EPSILON", self.EPSILON)
        if not 0 <= require_number("sl", self.sl) <= require_number("sh", self.sh) <= 1:
            raise ConfigError(f"sl: must be at least 0 and at most sh, which is at most 1, not {self.sl} and {self.sh}")
        require_factor("r1", self.r1)
        per_channel("mean", self.mean, CHANNELS)
        require_int("attempt", self.attempt, 1)
        require_choice("mode", self.mode, ("const", "rand", "pixel"))
        fewest = require_int("min_count", self.min_count, 1)
        if self.max_count is not None:
            require_int("max_count", self.max_count, fewest)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [3, H, W] or [H, W, 3] float32. It may be changed in place."""
        planes = _planes(image)
        if rng.random() >= self.EPSILON:
            return image
        count = int(rng.integers(self.min_count, self.max_count + 1)) if self.max_count else int(self.min_count)
        for _ in range(count):
            box = self._draw_box(planes.shape[1], planes.shape[2], count, rng)
            if box is not None:
                top, left, height, width = box
                planes[:, top : top + height, left : left + width] = self._fill_values(len(planes), height, width, rng)
        return image

    def _draw_box(
        self, height: int, width: int, count: int, rng: np.random.Generator
    ) -> Optional[Tuple[int, int, int, int]]:
        """Return (top, left, height, width) of a rectangle; None if no attempt fits into the image."""
        for _ in range(int(self.attempt)):
            area = rng.uniform(self.sl, self.sh) * height * width / count
            if self.use_log_aspect:
                ratio = math.exp(rng.uniform(math.log(self.r1), -math.log(self.r1)))
            else:
                ratio = rng.uniform(self.r1, 1 / self.r1)
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if h < height and w < width:
                return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
        return None

    def _fill_values(self, channels: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        if self.mode == "const":
            values = np.zeros((channels, 1, 1), np.float32)
            values[: len(self.mean), 0, 0] = self.mean[:channels]
            return values
        shape = (channels, height, width) if self.mode == "pixel" else (channels, 1, 1)
        return rng.standard_normal(shape, np.float32)


@TRANSFORMS.register
@dataclass(frozen=True)
class Cutout:
    """Fill random squares (https://arxiv.org/abs/1708.04552). They are clipped at the image's edges.

    Args:
        n_holes: number of squares.
        length: side of a square, in pixels.
        fill_value: their colour, 0 to 255: one number or three; "none" or null draws a random colour for each.

    Raises:
        ConfigError: an argument is invalid.
    """

    n_holes: int = 1
    length: int = 112
    fill_value: Union[int, Sequence[int], str, None] = 0

    def __post_init__(self) -> None:
        require_int("n_holes", self.n_holes, 1)
        require_int("length", self.length, 1)
        if isinstance(self.fill_value, str) and self.fill_value != "none":
            raise ConfigError(f"fill_value: must be a colour from 0 to 255 or 'none', not {self.fill_value!r}")
        self._color()

    def _color(self) -> Optional[Tuple[int, int, int]]:
        """Return the colour of the squares; None for random ones."""
        if self.fill_value is None or isinstance(self.fill_value, str):
            return None
        return fill_color(self.fill_value, "fill_value")

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] with holes."""
        check_hwc(image)
        image = image.copy()
        half, color, channels = int(self.length) // 2, self._color(), image.shape[2]
        for _ in range(int(self.n_holes)):
            # The centre may be anywhere in the image, so holes at the edges are smaller.
            top, left = int(rng.integers(image.shape[0])) - half, int(rng.integers(image.shape[1])) - half
            image[max(0, top) : max(0, top + int(self.length)), max(0, left) : max(0, left + int(self.length))] = (
                rng.integers(256, size=channels) if color is None else channel_values(color, channels)
            )
        return image


@TRANSFORMS.register
@dataclass(frozen=True)
class GridMask:
    """Set a grid of squares to black (https://arxiv.org/abs/2001.04086).

    Args:
        d1: smallest grid spacing, in pixels.
        d2: largest grid spacing (exclusive); the spacing is drawn uniformly.
        rotate: the grid is rotated by a random whole number of degrees below this; 1 means no rotation, as in
            PaddleClas.
        ratio: width of the stripes of which the grid consists, as a fraction of the spacing.
        mode: 0 sets the intersections of the stripes to black, 1 everything else.
        prob: probability that an image is changed.

    Raises:
        ConfigError: an argument is invalid.
    """

    d1: int = 96
    d2: int = 224
    rotate: int = 1
    ratio: float = 0.5
    mode: int = 0
    prob: float = 1.0

    def __post_init__(self) -> None:
        if require_int("d1", self.d1, 2) >= require_int("d2", self.d2, 2):
            raise ConfigError(f"d1: must be below d2, not {self.d1} and {self.d2}")
        require_int("rotate", self.rotate, 1)
        if not 0 < require_number("ratio", self.ratio) < 1:
            raise ConfigError(f"ratio: must be between 0 and 1, not {self.ratio!r}")
        require_choice("mode", self.mode, (0, 1))
        require_probability("prob", self.prob)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] with or without the grid."""
        check_hwc(image)
        if rng.random() >= self.prob:
            return image
        height, width = image.shape[:2]
        mask = self._draw_mask(math.ceil(math.hypot(height, width)), rng)
        top, left = (mask.shape[0] - height) // 2, (mask.shape[1] - width) // 2
        return image * mask[top : top + height, left : left + width, None]

    def _draw_mask(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """Return a square mask [side, side] uint8: 0 where the image becomes black, 1 elsewhere."""
        distance = int(rng.integers(self.d1, self.d2))
        length = min(max(int(distance * self.ratio + 0.5), 1), distance - 1)
        positions = np.arange(side)
        rows, columns = ((positions + int(rng.integers(distance))) % distance < length for _ in range(2))
        intersections = rows[:, None] & columns[None, :]
        mask = np.where(intersections, np.uint8(self.mode), np.uint8(1 - self.mode))
        angle = int(rng.integers(self.rotate))
        if not angle:
            return mask
        rotated = AffineSampler("nearest").rotate(np.repeat(mask[:, :, None], 3, axis=2), angle, rng)
        return np.ascontiguousarray(rotated[:, :, 0])


@TRANSFORMS.register
@dataclass(frozen=True)
class HideAndSeek:
    """Hide the patches of a random grid, each with a given probability (https://arxiv.org/abs/1811.02545).

    Hidden patches are set to 0, which is the mean of normalized images. Use it after NormalizeImage, with either
    layout.

    Args:
        grid_sizes: sides of the patches, in pixels, of which one is drawn for each image; 0 hides nothing.
        hide_prob: probability that a patch is hidden.

    Raises:
        ConfigError: an argument is invalid.
    """

    grid_sizes: Sequence[int] = (0, 16, 32, 44, 56)
    hide_prob: float = 0.5

    def __post_init__(self) -> None:
        if not self.grid_sizes:
            raise ConfigError("grid_sizes: give at least one")
        for size in self.grid_sizes:
            require_int("grid_sizes", size, 0)
        require_probability("hide_prob", self.hide_prob)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [3, H, W] or [H, W, 3] float32. It may be changed in place."""
        planes = _planes(image)
        size = int(self.grid_sizes[int(rng.integers(len(self.grid_sizes)))])
        if size:
            _, height, width = planes.shape
            hidden = rng.random((-(-height // size), -(-width // size))) < self.hide_prob
            planes[:, hidden.repeat(size, 0).repeat(size, 1)[:height, :width]] = 0
        return image


def _planes(image: Any) -> np.ndarray:
    """Return a view [C, H, W] of a normalized image of either layout.

    Raises:
        DataError: it is not normalized.
    """
    if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype != np.float32:
        raise DataError("takes a normalized float32 image: put it after NormalizeImage")
    return image if image.shape[0] in CHANNELS else image.transpose(2, 0, 1)
