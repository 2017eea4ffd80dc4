"""From a level, 0 to 10, to the magnitude of an operation. The ranges are facts of timm's augmentation."""

from __future__ import annotations

from typing import Callable, Dict, NamedTuple

import numpy as np

from ppcls.data.transforms.operations import sign

MAX_LEVEL = 10.0


class Scale(NamedTuple):
    """What relative magnitudes refer to.

    Attributes:
        pixels: translation at the highest level, for operations that count pixels.
        share: translation at the highest level, as a share of the image's side.
    """

    pixels: float
    share: float = 0.45


Level = Callable[[float, Scale, np.random.Generator], float]


class Action(NamedTuple):
    """An entry of a policy: which operation, and its magnitude at a level."""

    operation: str
    magnitude: Level


def _none(level: float, scale: Scale, rng: np.random.Generator) -> float:
    return 0.0


def _either_way(largest: float) -> Level:
    return lambda level, scale, rng: sign(rng) * level / MAX_LEVEL * largest


def _factor(level: float, scale: Scale, rng: np.random.Generator) -> float:
    return level / MAX_LEVEL * 1.8 + 0.1


def _factor_either_way(level: float, scale: Scale, rng: np.random.Generator) -> float:
    return max(0.1, 1.0 + sign(rng) * level / MAX_LEVEL * 0.9)


def _bits(level: float) -> int:
    return int(level / MAX_LEVEL * 4)


def _kept(bits: int) -> int:
    """Return ``bits`` within a byte: levels above 10 (``mmax``) lead beyond it."""
    return min(8, max(0, bits))


def _between(low: float, high: float) -> Level:
    return lambda level, scale, rng: min(high, low + (high - low) * level / MAX_LEVEL)


def _radius(level: float, scale: Scale, rng: np.random.Generator) -> float:
    return 0.1 + rng.random() * (2.0 * min(1.0, level / MAX_LEVEL) - 0.1)


def _threshold(level: float) -> int:
    return min(256, int(level / MAX_LEVEL * 256))


ACTIONS: Dict[str, Action] = {
    "AutoContrast": Action("AutoContrast", _none),
    "Equalize": Action("Equalize", _none),
    "Invert": Action("Invert", _none),
    "Rotate": Action("Rotate", _either_way(30.0)),
    # Bits that stay: 0 to 4, so that a higher level changes less; "Increasing" the other way; "Original" 4 to 8.
    "Posterize": Action("Posterize", lambda level, scale, rng: _kept(_bits(level))),
    "PosterizeIncreasing": Action("Posterize", lambda level, scale, rng: _kept(4 - _bits(level))),
    "PosterizeOriginal": Action("Posterize", lambda level, scale, rng: _kept(4 + _bits(level))),
    "Solarize": Action("Solarize", lambda level, scale, rng: _threshold(level)),
    "SolarizeIncreasing": Action("Solarize", lambda level, scale, rng: 256 - _threshold(level)),
    "SolarizeAdd": Action("SolarizeAdd", lambda level, scale, rng: min(128, int(level / MAX_LEVEL * 110))),
    **{name: Action(name, _factor) for name in ("Color", "Contrast", "Brightness", "Sharpness")},
    **{
        f"{name}Increasing": Action(name, _factor_either_way)
        for name in ("Color", "Contrast", "Brightness", "Sharpness")
    },
    "ShearX": Action("ShearX", _either_way(0.3)),
    "ShearY": Action("ShearY", _either_way(0.3)),
    "TranslateX": Action("TranslateX", lambda level, scale, rng: sign(rng) * level / MAX_LEVEL * scale.pixels),
    "TranslateY": Action("TranslateY", lambda level, scale, rng: sign(rng) * level / MAX_LEVEL * scale.pixels),
    "TranslateXRel": Action("TranslateXRel", lambda level, scale, rng: sign(rng) * level / MAX_LEVEL * scale.share),
    "TranslateYRel": Action("TranslateYRel", lambda level, scale, rng: sign(rng) * level / MAX_LEVEL * scale.share),
    "Desaturate": Action("Desaturate", _between(0.5, 1.0)),
    "GaussianBlur": Action("GaussianBlur", _between(0.1, 2.0)),
    "GaussianBlurRand": Action("GaussianBlur", _radius),
}
