"""Automatic augmentation as timm's users write it: ``rand-m9-mstd0.5-inc1``, ``original``, ``augmix-m3-w3``.

The words, operations, ranges and chances are those of timm (https://github.com/huggingface/pytorch-image-models,
timm/data/auto_augment.py, as facts); the random numbers are the sample's own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Sequence, Union

import numpy as np

from ppcls.data.transforms import policies
from ppcls.data.transforms.arguments import (
    check_affine_interpolation,
    check_backend,
    check_hwc,
    per_channel,
    probability,
    size_pair,
)
from ppcls.data.transforms.magnitudes import MAX_LEVEL, Scale
from ppcls.data.transforms.policy_ops import Augment, AugMix, Auto, Rand, Step
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.tensor import IMAGENET_MEAN
from ppcls.data.transforms.warp import Canvas, colour
from ppcls.errors import ConfigError
from ppcls.registry import suggest

_NAMES = (
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast"),
    *("Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
)
_INCREASING = {
    name: f"{name}Increasing" for name in ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
}
# Weights of the operations with w0, as older releases of timm have them; those that are not named are never chosen.
_WEIGHTS = {
    "Rotate": 0.3,
    "ShearX": 0.2,
    "ShearY": 0.2,
    "TranslateXRel": 0.1,
    "TranslateYRel": 0.1,
    **dict.fromkeys(("Color", "Sharpness", "AutoContrast"), 0.025),
    **dict.fromkeys(("Solarize", "SolarizeAdd", "Contrast", "Brightness", "Equalize"), 0.005),
}
# What the newer word ``t`` may name: operations and their weights.
_SETS: Dict[str, Dict[str, float]] = {
    "weights": {
        "Rotate": 3,
        **dict.fromkeys(("ShearX", "ShearY"), 2),
        **dict.fromkeys(("TranslateXRel", "TranslateYRel"), 1),
        **dict.fromkeys(("ColorIncreasing", "SharpnessIncreasing", "AutoContrast"), 0.25),
        **dict.fromkeys(("SolarizeIncreasing", "SolarizeAdd", "ContrastIncreasing", "BrightnessIncreasing"), 0.05),
        **dict.fromkeys(("Equalize", "PosterizeIncreasing", "Invert"), 0.05),
    },
    "3a": dict.fromkeys(("SolarizeIncreasing", "Desaturate", "GaussianBlur"), 1),
    "3aw": {
        **dict.fromkeys(("SolarizeIncreasing", "Desaturate", "GaussianBlur"), 6),
        "Rotate": 3,
        **dict.fromkeys(("ShearX", "ShearY"), 2),
        **dict.fromkeys(("PosterizeIncreasing", "AutoContrast", "ColorIncreasing", "SharpnessIncreasing"), 1),
        **dict.fromkeys(("ContrastIncreasing", "BrightnessIncreasing", "Equalize", "Invert"), 1),
    },
}
_AUGMIX = (
    *("AutoContrast", "ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"),
    *("Equalize", "Rotate", "PosterizeIncreasing", "SolarizeIncreasing", "ShearX", "ShearY"),
    *("TranslateXRel", "TranslateYRel"),
)
_POSTERIZE_ORIGINAL = {"Posterize": "PosterizeOriginal"}
_POSTERIZE_INCREASING = {"Posterize": "PosterizeIncreasing"}
_POLICIES: Dict[str, policies.Policy] = {
    "original": policies.renamed(policies.IMAGENET, _POSTERIZE_ORIGINAL),
    "originalr": policies.renamed(policies.IMAGENET, _POSTERIZE_INCREASING),
    "v0": policies.V0,
    "v0r": policies.renamed(policies.V0, _POSTERIZE_INCREASING),
    "3a": policies.THREE,
}
_UNIFORM = 100  # a standard deviation above this means: draw evenly between 0 and the level


@TRANSFORMS.register
@dataclass(frozen=True)
class TimmAutoAugment:
    """RandAugment, AutoAugment or AugMix as timm writes them.

    Args:
        prob: how likely an image is augmented at all.
        config_str: ``rand`` with ``m`` level (10), ``n`` operations (2), ``p`` chance of each (0.5), ``mstd`` standard
            deviation of the level, ``mmax`` its limit, ``inc1`` operations whose strength grows with the level, ``w0``
            weighted choice, ``tweights``, ``t3a`` or ``t3aw`` another set of operations; ``original``, ``originalr``,
            ``v0``, ``v0r``, ``3a`` with ``mstd``; ``augmix`` with ``m`` level (3), ``w`` chains (3), ``d`` operations a
            chain (-1: 1 to 3), ``a`` concentration (1), ``b1`` chains blended in one by one, ``mstd``.
        interpolation: of rotations, shears and translations: nearest, bilinear, bicubic, or random.
        img_size: of the images that arrive, a side or [width, height]; translations are up to 45 % of the short side.
        mean: of the images, 0..1 a channel; what is outside gets this colour.
        backend: "cv2" or "pil"; colours agree bit for bit, geometry within interpolation.

    Raises:
        ConfigError: a value makes no sense.
    """

    prob: float = 1.0
    config_str: str = "rand-m9-mstd0.5-inc1"
    interpolation: str = "bicubic"
    img_size: Union[int, Sequence[int]] = 224
    mean: Sequence[float] = IMAGENET_MEAN
    backend: str = "cv2"
    _augment: Augment = field(init=False, repr=False, compare=False)
    _canvas: Canvas = field(init=False, repr=False, compare=False)
    _scale: Scale = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        probability("prob", self.prob)
        check_affine_interpolation(self.interpolation)
        check_backend(self.backend)
        mean = per_channel("mean", self.mean)
        if not all(0 <= value <= 1 for value in mean):
            raise ConfigError(f"mean: must be from 0 to 1, not {self.mean!r}")
        if not isinstance(self.config_str, str):
            raise ConfigError(f"config_str: must be text such as rand-m9-mstd0.5-inc1, not {self.config_str!r}")
        augmix = self.config_str.startswith("augmix")
        side = min(size_pair("img_size", self.img_size))
        object.__setattr__(self, "_augment", parse(self.config_str))
        object.__setattr__(self, "_canvas", Canvas(self.interpolation, colour(mean), self.backend))
        object.__setattr__(self, "_scale", Scale(int(side * 0.45), 0.3 if augmix else 0.45))

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        if self.prob < 1 and rng.random() >= self.prob:
            return image
        return self._augment(image, self._canvas, self._scale, rng)


def parse(text: str) -> Augment:
    """Return what a configuration such as ``rand-m9-mstd0.5-inc1`` means.

    Raises:
        ConfigError: an unknown kind or word, or a value out of its range.
    """
    kind, *words = text.split("-")
    # A minus sign, as in d-1, is no separator.
    words = re.findall(r"[^-]+?-(?=\d)[^-]+|[^-]+", "-".join(words)) if kind == "augmix" else words
    kinds = {"rand": _rand, "augmix": _augmix, **dict.fromkeys(_POLICIES, _auto)}
    if kind not in kinds:
        raise ConfigError(f"config_str: {text!r}: unknown kind {kind!r}{suggest(kind, kinds)}")
    try:
        return kinds[kind](kind, words)
    except ConfigError as error:
        raise ConfigError(f"config_str: {text!r}: {error}") from None


def _values(words: Sequence[str], defaults: Mapping[str, float]) -> Dict[str, float]:
    """Return the numbers that words such as ``m9`` give, over their defaults.

    Raises:
        ConfigError: an unknown word, one without a number, or one twice.
    """
    values = dict(defaults)
    seen = set()
    for word in words:
        match = re.fullmatch(r"([a-z]+)(-?\d+\.?\d*|-?\.\d+|inf)", word)
        if match is None or match[1] not in defaults:
            raise ConfigError(f"unknown word {word!r}; known: {', '.join(f'{key}<number>' for key in defaults)}")
        if match[1] in seen:
            raise ConfigError(f"{match[1]!r} stands there twice")
        seen.add(match[1])
        values[match[1]] = float(match[2])
    return values


def _within(values: Mapping[str, float], key: str, low: float, high: float, whole: bool = False) -> float:
    value = values[key]
    if not low <= value <= high or (whole and not value.is_integer()):
        raise ConfigError(f"{key}: must be {'a whole number ' if whole else ''}from {low:g} to {high:g}, not {value:g}")
    return value


def _deviation(values: Mapping[str, float]) -> float:
    value = _within(values, "mstd", 0, math.inf)
    return math.inf if value > _UNIFORM else value


def _rand(kind: str, words: Sequence[str]) -> Augment:
    sets = [word[1:] for word in words if word.startswith("t")]
    given = _values(
        [word for word in words if not word.startswith("t")],
        {"m": MAX_LEVEL, "n": 2.0, "p": 0.5, "mstd": 0.0, "mmax": MAX_LEVEL, "inc": 0.0, "w": -1.0},
    )
    limit = _within(given, "mmax", 1, 100)
    if given["m"] > limit:
        raise ConfigError(f"m: must be at most {limit:g}, not {given['m']:g}; mmax sets another limit")
    level, chance = _within(given, "m", 0, limit), _within(given, "p", 0, 1)
    weights = _operations(
        sets,
        increasing=bool(_within(given, "inc", 0, 1, whole=True)),
        weighted=_within(given, "w", -1, 0, whole=True) == 0,
    )
    even = len(set(weights.values())) == 1
    count = int(_within(given, "n", 1, len(weights), whole=True))
    shares = None if even else [weight / sum(weights.values()) for weight in weights.values()]
    return Rand([Step(name, chance, level, _deviation(given), limit) for name in weights], count, shares)


def _operations(sets: Sequence[str], increasing: bool, weighted: bool) -> Dict[str, float]:
    """Return the operations that ``rand`` chooses from, with their weights, all equal where the choice is even."""
    if len(sets) + weighted > 1:
        raise ConfigError("give one of w0 and t")
    if sets:
        if sets[0] not in _SETS:
            raise ConfigError(f"t: unknown set {sets[0]!r}{suggest(sets[0], _SETS)}")
        return _SETS[sets[0]]
    weights = _WEIGHTS if weighted else dict.fromkeys(_NAMES, 1.0)
    return {_INCREASING.get(name, name) if increasing else name: weight for name, weight in weights.items()}


def _auto(kind: str, words: Sequence[str]) -> Augment:
    deviation = _deviation(_values(words, {"mstd": 0.0}))
    return Auto([[Step(*entry, deviation) for entry in row] for row in _POLICIES[kind]])


def _augmix(kind: str, words: Sequence[str]) -> Augment:
    given = _values(words, {"m": 3.0, "w": 3.0, "d": -1.0, "a": 1.0, "b": 0.0, "mstd": math.inf})
    level, deviation = _within(given, "m", 0, MAX_LEVEL), _deviation(given)
    return AugMix(
        [Step(name, 1.0, level, deviation) for name in _AUGMIX],
        width=int(_within(given, "w", 1, 100, whole=True)),
        depth=int(_within(given, "d", -1, 100, whole=True)),
        alpha=_within(given, "a", 1e-3, 1e3),
        blended=bool(_within(given, "b", 0, 1, whole=True)),
    )
