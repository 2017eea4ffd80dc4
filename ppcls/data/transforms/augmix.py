"""AugMix as in its paper and PaddleClas; ``TimmAutoAugment`` has timm's variant."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict

import numpy as np

from ppcls.data.transforms.arguments import check_hwc, require_splits
from ppcls.data.transforms.magnitudes import MaxTranslation
from ppcls.data.transforms.operation_spaces import MagnitudeFunction, no_magnitude, signed
from ppcls.data.transforms.operations import OPERATIONS, random_sign
from ppcls.data.transforms.policy_ops import AugMixPolicy
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import AffineSampler
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_int, require_number, require_positive, require_probability

_MAX_SEVERITY, _MIN_LEVEL = 10, 0.1
_NO_LIMITS = MaxTranslation(pixels=0)


def _third_of_side(axis: int) -> MagnitudeFunction:
    return lambda strength, image, rng: random_sign(rng) * int(strength * image.shape[axis] / 3)


# The operations and ranges of the paper's code, https://github.com/google-research/augmix, augmentations.py.
_SPACE: Dict[str, MagnitudeFunction] = {
    **dict.fromkeys(("AutoContrast", "Equalize"), no_magnitude),
    "Posterize": lambda strength, image, rng: 4 - int(strength * 4),
    "Rotate": lambda strength, image, rng: random_sign(rng) * int(strength * 30),
    "Solarize": lambda strength, image, rng: 256 - int(strength * 256),
    **dict.fromkeys(("ShearX", "ShearY"), signed(0.3)),
    "TranslateX": _third_of_side(1),
    "TranslateY": _third_of_side(0),
}


@dataclass(frozen=True)
class _SevereOp:
    """An operation whose level is drawn uniformly from 0.1 to ``severity``, out of 10."""

    name: str
    severity: float

    def __call__(
        self, image: np.ndarray, sampler: AffineSampler, limits: MaxTranslation, rng: np.random.Generator
    ) -> np.ndarray:
        strength = rng.uniform(_MIN_LEVEL, self.severity) / _MAX_SEVERITY
        return OPERATIONS[self.name](image, _SPACE[self.name](strength, image, rng), sampler, rng)


@TRANSFORMS.register
@dataclass(frozen=True)
class AugMix:
    """Mix several chains of random operations with the image (https://arxiv.org/abs/1912.02781).

    Args:
        prob: probability that an image is augmented.
        aug_prob_coeff: concentration of the random mixing weights; 1 in the paper.
        mixture_width: number of chains.
        mixture_depth: operations per chain; -1 draws 1 to 3, as in the paper.
        aug_severity: strength of the operations, up to 10; 3 in the paper.
        splits: number of images made of each: the clean one and ``splits`` - 1 augmented ones, for JSDCrossEntropy;
            0 or 1 makes one, augmented. For training only, and with prob: 1, since an image that is not augmented is
            equal to the clean one.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.

    Raises:
        ConfigError: an argument is invalid.
    """

    needs_rgb: ClassVar[bool] = True

    prob: float = 0.5
    aug_prob_coeff: float = 0.1
    mixture_width: int = 3
    mixture_depth: int = 1
    aug_severity: float = 1
    splits: int = 1
    backend: str = "cv2"
    _policy: AugMixPolicy = field(init=False, repr=False, compare=False)
    _sampler: AffineSampler = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_probability("prob", self.prob)
        require_positive("aug_prob_coeff", self.aug_prob_coeff)
        require_int("mixture_width", self.mixture_width, 1)
        if require_int("mixture_depth", self.mixture_depth, -1) == 0:
            raise ConfigError("mixture_depth: must be at least 1, or -1 for a random depth from 1 to 3, not 0")
        if not _MIN_LEVEL <= require_number("aug_severity", self.aug_severity) <= _MAX_SEVERITY:
            raise ConfigError(f"aug_severity: must be from {_MIN_LEVEL} to {_MAX_SEVERITY}, not {self.aug_severity!r}")
        require_splits(self.splits)
        ops = [_SevereOp(name, self.aug_severity) for name in _SPACE]
        policy = AugMixPolicy(ops, self.mixture_width, self.mixture_depth, self.aug_prob_coeff, blended=False)
        object.__setattr__(self, "_policy", policy)
        object.__setattr__(self, "_sampler", AffineSampler("bilinear", (0, 0, 0), self.backend))

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return one augmented image [H, W, 3] uint8."""
        check_hwc(image)
        if rng.random() >= self.prob:
            return image
        return self._policy(image, self._sampler, _NO_LIMITS, rng)
