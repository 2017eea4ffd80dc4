"""The magnitudes of the operations at levels from 0 to 10. The ranges are those of timm."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple, Tuple

import numpy as np

from ppcls.data.transforms.operations import random_sign

MAX_LEVEL = 10.0


class MaxTranslation(NamedTuple):
    """The translation at level 10.

    Attributes:
        pixels: for TranslateX and TranslateY.
        fraction: for TranslateXRel and TranslateYRel, as a fraction of the image's side.
    """

    pixels: float
    fraction: float = 0.45


Magnitude = Callable[[float, MaxTranslation, np.random.Generator], float]


class PolicyOperation(NamedTuple):
    """An operation as policies name it.

    Attributes:
        operation: a key of ``OPERATIONS``.
        magnitude: returns the operation's magnitude at a level.
    """

    operation: str
    magnitude: Magnitude


def _no_magnitude(level: float, limits: MaxTranslation, rng: np.random.Generator) -> float:
    return 0.0


def _signed(largest: float) -> Magnitude:
    return lambda level, limits, rng: random_sign(rng) * level / MAX_LEVEL * largest


def _enhancement(level: float, limits: MaxTranslation, rng: np.random.Generator) -> float:
    return level / MAX_LEVEL * 1.8 + 0.1


def _signed_enhancement(level: float, limits: MaxTranslation, rng: np.random.Generator) -> float:
    return max(0.1, 1.0 + random_sign(rng) * level / MAX_LEVEL * 0.9)


def _posterize_bits(level: float) -> int:
    return int(level / MAX_LEVEL * 4)


def _clip_bits(bits: int) -> int:
    """Clip a number of bits to 0..8, which levels above 10 (``mmax``) would exceed."""
    return min(8, max(0, bits))


def _linear(low: float, high: float) -> Magnitude:
    return lambda level, limits, rng: min(high, low + (high - low) * level / MAX_LEVEL)


def _random_blur_radius(level: float, limits: MaxTranslation, rng: np.random.Generator) -> float:
    return 0.1 + rng.random() * (2.0 * min(1.0, level / MAX_LEVEL) - 0.1)


def _solarize_threshold(level: float) -> int:
    return min(256, int(level / MAX_LEVEL * 256))


def _translation_in_pixels(level: float, limits: MaxTranslation, rng: np.random.Generator) -> float:
    return random_sign(rng) * level / MAX_LEVEL * limits.pixels


def _relative_translation(level: float, limits: MaxTranslation, rng: np.random.Generator) -> float:
    return random_sign(rng) * level / MAX_LEVEL * limits.fraction


_ENHANCEMENTS = ("Color", "Contrast", "Brightness", "Sharpness")
_MAGNITUDES: Dict[str, Tuple[str, Magnitude]] = {
    "AutoContrast": ("AutoContrast", _no_magnitude),
    "Equalize": ("Equalize", _no_magnitude),
    "Invert": ("Invert", _no_magnitude),
    "Rotate": ("Rotate", _signed(30.0)),
    # Bits kept: 0 to 4, so that higher levels change less; with "Increasing" 4 to 0; with "Original" 4 to 8.
    "Posterize": ("Posterize", lambda level, limits, rng: _clip_bits(_posterize_bits(level))),
    "PosterizeIncreasing": ("Posterize", lambda level, limits, rng: _clip_bits(4 - _posterize_bits(level))),
    "PosterizeOriginal": ("Posterize", lambda level, limits, rng: _clip_bits(4 + _posterize_bits(level))),
    "Solarize": ("Solarize", lambda level, limits, rng: _solarize_threshold(level)),
    "SolarizeIncreasing": ("Solarize", lambda level, limits, rng: 256 - _solarize_threshold(level)),
    "SolarizeAdd": ("SolarizeAdd", lambda level, limits, rng: min(128, int(level / MAX_LEVEL * 110))),
    **{name: (name, _enhancement) for name in _ENHANCEMENTS},
    **{f"{name}Increasing": (name, _signed_enhancement) for name in _ENHANCEMENTS},
    "ShearX": ("ShearX", _signed(0.3)),
    "ShearY": ("ShearY", _signed(0.3)),
    "TranslateX": ("TranslateX", _translation_in_pixels),
    "TranslateY": ("TranslateY", _translation_in_pixels),
    "TranslateXRel": ("TranslateXRel", _relative_translation),
    "TranslateYRel": ("TranslateYRel", _relative_translation),
    "Desaturate": ("Desaturate", _linear(0.5, 1.0)),
    "GaussianBlur": ("GaussianBlur", _linear(0.1, 2.0)),
    "GaussianBlurRand": ("GaussianBlur", _random_blur_radius),
}
POLICY_OPERATIONS = {name: PolicyOperation(*entry) for name, entry in _MAGNITUDES.items()}
