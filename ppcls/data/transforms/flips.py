"""Random flips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, Tuple

import numpy as np

from ppcls.data.transforms.arguments import check_hwc
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.registry.checks import require_choice, require_probability
from ppcls.utils.opencv import cv2

_AXES = {1: (2,), 0: (1,), -1: (1, 2)}  # of a batch [B, H, W, 3], for each of OpenCV's flip codes


@TRANSFORMS.register
@dataclass(frozen=True)
class RandFlipImage:
    """Flip the image with a given probability.

    Args:
        flip_code: 1 flips horizontally, 0 vertically, -1 both.
        prob: probability of a flip.

    Raises:
        ConfigError: an argument is invalid.
    """

    flip_code: int = 1
    prob: float = 0.5

    def __post_init__(self) -> None:
        require_choice("flip_code", self.flip_code, (-1, 0, 1))
        require_probability("prob", self.prob)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3], flipped or not."""
        check_hwc(image)
        return cv2.flip(image, int(self.flip_code)) if rng.random() < self.prob else image

    def batch(self, images: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the images [B, H, W, 3], each flipped or not."""
        return _flip(images, rngs, self.prob, _AXES[int(self.flip_code)])


@TRANSFORMS.register
@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Flip the image horizontally with a given probability.

    Args:
        prob: probability of a flip.

    Raises:
        ConfigError: it is not between 0 and 1.
    """

    prob: float = 0.5

    def __post_init__(self) -> None:
        require_probability("prob", self.prob)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3], flipped or not."""
        check_hwc(image)
        return cv2.flip(image, 1) if rng.random() < self.prob else image

    def batch(self, images: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Return the images [B, H, W, 3], each flipped or not."""
        return _flip(images, rngs, self.prob, _AXES[1])


def _flip(images: np.ndarray, rngs: Sequence[np.random.Generator], prob: float, axes: Tuple[int, ...]) -> np.ndarray:
    check_hwc(images[0])
    flip = np.array([rng.random() < prob for rng in rngs])
    flipped = images.copy()
    flipped[flip] = np.flip(images[flip], axes)
    return flipped
