"""Augmentation policies: how the automatic augmentations choose and combine operations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import numpy as np

from ppcls.data.transforms import pixels
from ppcls.data.transforms.magnitudes import MAX_LEVEL, POLICY_OPERATIONS, MaxTranslation
from ppcls.data.transforms.operations import OPERATIONS
from ppcls.data.transforms.warp import AffineSampler


@dataclass(frozen=True)
class SubPolicyOp:
    """An operation with a probability and a level.

    Attributes:
        name: a key of ``POLICY_OPERATIONS``.
        probability: probability with which it is applied.
        level: from 0 to ``max_level``.
        level_std: standard deviation of the level. If it is infinite, the level is drawn uniformly between 0 and
            ``level``.
        max_level: limit of the level that is drawn.
    """

    name: str
    probability: float
    level: float
    level_std: float = 0.0
    max_level: float = MAX_LEVEL

    def __call__(
        self, image: np.ndarray, sampler: AffineSampler, limits: MaxTranslation, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        if self.probability < 1 and rng.random() > self.probability:
            return image
        level = self.level
        if math.isinf(self.level_std):
            level = rng.uniform(0, level)
        elif self.level_std > 0:
            level = rng.normal(level, self.level_std)
        operation = POLICY_OPERATIONS[self.name]
        magnitude = operation.magnitude(min(max(level, 0.0), self.max_level), limits, rng)
        return OPERATIONS[operation.operation](image, magnitude, sampler, rng)


Policy = Callable[[np.ndarray, AffineSampler, MaxTranslation, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class RandAugmentPolicy:
    """A number of random operations: uniformly with replacement, or without replacement by ``weights``."""

    ops: Sequence[SubPolicyOp]
    count: int
    weights: Optional[Sequence[float]]

    def __call__(
        self, image: np.ndarray, sampler: AffineSampler, limits: MaxTranslation, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        for index in rng.choice(len(self.ops), self.count, replace=self.weights is None, p=self.weights):
            image = self.ops[int(index)](image, sampler, limits, rng)
        return image


@dataclass(frozen=True)
class AutoAugmentPolicy:
    """One of several sub-policies, at random. The operations of a sub-policy are applied in order."""

    sub_policies: Sequence[Sequence[SubPolicyOp]]

    def __call__(
        self, image: np.ndarray, sampler: AffineSampler, limits: MaxTranslation, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        for op in self.sub_policies[int(rng.integers(len(self.sub_policies)))]:
            image = op(image, sampler, limits, rng)
        return image


@dataclass(frozen=True)
class AugMixPolicy:
    """Several chains of operations, mixed with each other and with the image (https://arxiv.org/abs/1912.02781).

    Attributes:
        ops: the operations to choose from, each with a level of its own.
        width: number of chains.
        depth: operations per chain; at most 0 draws 1 to 3.
        alpha: concentration of the random mixing weights.
        blended: blend the chains into the image one after the other, instead of mixing them first.
    """

    ops: Sequence[Policy]
    width: int
    depth: int
    alpha: float
    blended: bool

    def __call__(
        self, image: np.ndarray, sampler: AffineSampler, limits: MaxTranslation, rng: np.random.Generator
    ) -> np.ndarray:
        """Return the image [H, W, 3] uint8, changed or not."""
        chain_weights = rng.dirichlet([self.alpha] * self.width)
        weight = float(rng.beta(self.alpha, self.alpha))
        chains = (self._apply_chain(image, sampler, limits, rng) for _ in chain_weights)
        if self.blended:
            blended = image
            for chain, factor in zip(chains, _sequential_factors(chain_weights * weight)):
                blended = pixels.blend(blended, chain, factor)
            return blended
        mixed = np.zeros(image.shape, np.float32)
        for chain_weight, chain in zip(chain_weights, chains):
            mixed += np.float32(chain_weight) * chain
        # The mixture is converted to uint8 before it is blended with the original.
        return pixels.blend(image, np.minimum(mixed, 255).astype(np.uint8), weight)

    def _apply_chain(
        self, image: np.ndarray, sampler: AffineSampler, limits: MaxTranslation, rng: np.random.Generator
    ) -> np.ndarray:
        for index in rng.choice(len(self.ops), self.depth if self.depth > 0 else int(rng.integers(1, 4))):
            image = self.ops[int(index)](image, sampler, limits, rng)
        return image


def _sequential_factors(weights: np.ndarray) -> Sequence[float]:
    """Return the factors for blending images one after the other so that each ends up with its weight."""
    rest, factors = 1.0, []
    for weight in weights[::-1]:
        factors.append(min(1.0, float(weight) / rest) if rest > 0 else 0.0)
        rest *= 1 - factors[-1]
    return factors[::-1]
