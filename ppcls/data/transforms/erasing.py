"""Random parts of an image hidden: RandomErasing, Cutout, GridMask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.transforms.arguments import check_choice, check_hwc, integer, number, per_channel, probability
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import Canvas
from ppcls.errors import ConfigError, DataError


@TRANSFORMS.register
@dataclass(frozen=True)
class RandomErasing:
    """Fill a random rectangle (https://arxiv.org/abs/1708.04896); after NormalizeImage, in either layout.

    Args:
        EPSILON: how likely an image is changed.
        sl: smallest area of the rectangle, as a share of the image's.
        sh: largest area.
        r1: lowest height / width; the highest is 1 / r1.
        mean: of a rectangle in mode const, in normalized values: one a channel.
        attempt: how often a rectangle that does not fit is drawn again.
        use_log_aspect: draw the logarithm of the proportions evenly, as timm does.
        mode: const; rand (a normally distributed colour); or pixel (normally distributed noise).
        min_count: fewest rectangles; each has its part of the area.
        max_count: most rectangles; their number is drawn evenly. ``min_count`` unless given.

    Raises:
        ConfigError: a value makes no sense.
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
        probability("EPSILON", self.EPSILON)
        if not 0 <= number("sl", self.sl) <= number("sh", self.sh) <= 1:
            raise ConfigError(f"sl: must be at least 0 and at most sh, which is at most 1, not {self.sl} and {self.sh}")
        if not 0 < number("r1", self.r1) <= 1:
            raise ConfigError(f"r1: must be above 0 and at most 1, not {self.r1!r}")
        per_channel("mean", self.mean)
        integer("attempt", self.attempt, 1)
        check_choice("mode", self.mode, ("const", "rand", "pixel"))
        fewest = integer("min_count", self.min_count, 1)
        if self.max_count is not None:
            integer("max_count", self.max_count, fewest)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [3, H, W] or [H, W, 3] float32, changed in place or not."""
        if not isinstance(image, np.ndarray) or image.ndim != 3 or image.dtype != np.float32:
            raise DataError("takes a normalized float32 image: put it after NormalizeImage")
        planes = image if image.shape[0] == 3 else image.transpose(2, 0, 1)
        if rng.random() >= self.EPSILON:
            return image
        count = int(rng.integers(self.min_count, self.max_count + 1)) if self.max_count else int(self.min_count)
        for _ in range(count):
            box = self._box(planes.shape[1], planes.shape[2], count, rng)
            if box is not None:
                top, left, height, width = box
                planes[:, top : top + height, left : left + width] = self._filling(height, width, rng)
        return image

    def _box(
        self, height: int, width: int, count: int, rng: np.random.Generator
    ) -> Optional[Tuple[int, int, int, int]]:
        """Return (top, left, height, width) of what to fill; None if nothing that was drawn fits."""
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

    def _filling(self, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
        if self.mode == "const":
            return np.array(self.mean, np.float32)[:, None, None]
        shape = (3, height, width) if self.mode == "pixel" else (3, 1, 1)
        return rng.standard_normal(shape, np.float32)


@TRANSFORMS.register
@dataclass(frozen=True)
class Cutout:
    """Blacken random squares, cut off at the edges (https://arxiv.org/abs/1708.04552).

    Args:
        n_holes: how many.
        length: of a side, in pixels.

    Raises:
        ConfigError: not whole numbers from 1 up.
    """

    n_holes: int = 1
    length: int = 112

    def __post_init__(self) -> None:
        integer("n_holes", self.n_holes, 1)
        integer("length", self.length, 1)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] with holes."""
        check_hwc(image)
        image = image.copy()
        half = int(self.length) // 2
        for _ in range(int(self.n_holes)):
            # Centres are anywhere in the image, so that holes at the edges are smaller.
            top, left = int(rng.integers(image.shape[0])) - half, int(rng.integers(image.shape[1])) - half
            image[max(0, top) : max(0, top + int(self.length)), max(0, left) : max(0, left + int(self.length))] = 0
        return image


@TRANSFORMS.register
@dataclass(frozen=True)
class GridMask:
    """Blacken a grid of squares (https://arxiv.org/abs/2001.04086).

    Args:
        d1: smallest distance of the grid's units, in pixels.
        d2: largest distance; drawn evenly, without d2 itself.
        rotate: the grid is turned by up to this many degrees; 1 leaves it straight, as in PaddleClas.
        ratio: side of the squares that are kept between stripes, as a share of the distance.
        mode: 0 blackens the squares where a row and a column of stripes meet, 1 everything else.
        prob: how likely an image is changed.

    Raises:
        ConfigError: a value makes no sense.
    """

    d1: int = 96
    d2: int = 224
    rotate: int = 1
    ratio: float = 0.5
    mode: int = 0
    prob: float = 1.0

    def __post_init__(self) -> None:
        if integer("d1", self.d1, 2) >= integer("d2", self.d2, 2):
            raise ConfigError(f"d1: must be below d2, not {self.d1} and {self.d2}")
        integer("rotate", self.rotate, 1)
        if not 0 < number("ratio", self.ratio) < 1:
            raise ConfigError(f"ratio: must be between 0 and 1, not {self.ratio!r}")
        check_choice("mode", self.mode, (0, 1))
        probability("prob", self.prob)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] under the grid, or as it is."""
        check_hwc(image)
        if rng.random() >= self.prob:
            return image
        height, width = image.shape[:2]
        mask = self._mask(math.ceil(math.hypot(height, width)), rng)
        top, left = (mask.shape[0] - height) // 2, (mask.shape[1] - width) // 2
        return image * mask[top : top + height, left : left + width, None]

    def _mask(self, side: int, rng: np.random.Generator) -> np.ndarray:
        """Return a square mask [side, side] of ones and, where the image becomes black, zeros."""
        distance = int(rng.integers(self.d1, self.d2))
        length = min(max(int(distance * self.ratio + 0.5), 1), distance - 1)
        places = np.arange(side)
        striped = [(places + int(rng.integers(distance))) % distance < length for _ in range(2)]
        hidden = striped[0][:, None] & striped[1][None, :]
        mask = np.where(hidden, np.uint8(self.mode), np.uint8(1 - self.mode))
        angle = int(rng.integers(self.rotate))
        if not angle:
            return mask
        turned = Canvas("nearest").rotate(np.repeat(mask[:, :, None], 3, axis=2), angle, rng)
        return np.ascontiguousarray(turned[:, :, 0])
