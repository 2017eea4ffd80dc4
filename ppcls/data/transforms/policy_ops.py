"""Operations one after the other, chosen at random: what the automatic augmentations are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import numpy as np

from ppcls.data.transforms import pixels
from ppcls.data.transforms.magnitudes import ACTIONS, MAX_LEVEL, Scale
from ppcls.data.transforms.operations import OPERATIONS
from ppcls.data.transforms.warp import Canvas


@dataclass(frozen=True)
class Step:
    """An operation with its chance and level.

    Attributes:
        name: a key of ``ACTIONS``.
        chance: how likely it is applied.
        level: 0 to 10; up to ``limit`` after the deviation.
        deviation: standard deviation of the level; infinite draws evenly between 0 and the level.
        limit: of the level that was drawn.
    """

    name: str
    chance: float
    level: float
    deviation: float = 0.0
    limit: float = MAX_LEVEL

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        if self.chance < 1 and rng.random() > self.chance:
            return image
        level = self.level
        if math.isinf(self.deviation):
            level = rng.uniform(0, level)
        elif self.deviation > 0:
            level = rng.normal(level, self.deviation)
        action = ACTIONS[self.name]
        magnitude = action.magnitude(min(max(level, 0.0), self.limit), scale, rng)
        return OPERATIONS[action.operation](image, magnitude, canvas, rng)


Steps = Sequence[Step]
Augment = Callable[[np.ndarray, Canvas, Scale, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Rand:
    """A number of operations, chosen with equal chances and repetition, or by weight and without."""

    steps: Steps
    count: int
    weights: Optional[Sequence[float]]

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        for index in rng.choice(len(self.steps), self.count, replace=self.weights is None, p=self.weights):
            image = self.steps[int(index)](image, canvas, scale, rng)
        return image


@dataclass(frozen=True)
class Auto:
    """One sub-policy of several."""

    policy: Sequence[Steps]

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        for step in self.policy[int(rng.integers(len(self.policy)))]:
            image = step(image, canvas, scale, rng)
        return image


@dataclass(frozen=True)
class AugMix:
    """Several chains of operations, mixed with each other and with the image (https://arxiv.org/abs/1912.02781)."""

    steps: Steps
    width: int
    depth: int
    alpha: float
    blended: bool

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        shares = rng.dirichlet([self.alpha] * self.width)
        weight = float(rng.beta(self.alpha, self.alpha))
        chains = (self._chain(image, canvas, scale, rng) for _ in shares)
        if self.blended:
            blended = image
            for chain, part in zip(chains, _successive(shares * weight)):
                blended = pixels.blend(blended, chain, part)
            return blended
        mixed = np.zeros(image.shape, np.float32)
        for share, chain in zip(shares, chains):
            mixed += np.float32(share) * chain
        # A mixture is an image again before it meets the original.
        return pixels.blend(image, np.minimum(mixed, 255).astype(np.uint8), weight)

    def _chain(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        for index in rng.choice(len(self.steps), self.depth if self.depth > 0 else int(rng.integers(1, 4))):
            image = self.steps[int(index)](image, canvas, scale, rng)
        return image


def _successive(shares: np.ndarray) -> Sequence[float]:
    """Return with which weights images are blended in one after the other so that each ends up with its share."""
    rest, weights = 1.0, []
    for share in shares[::-1]:
        weights.append(min(1.0, float(share) / rest) if rest > 0 else 0.0)
        rest *= 1 - weights[-1]
    return weights[::-1]
