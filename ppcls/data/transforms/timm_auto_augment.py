"""Automatic augmentation as timm's users write it: ``rand-m9-mstd0.5-inc1``, ``original``, ``augmix-m3-w3``.

The words, operations, ranges and chances are those of timm (https://github.com/huggingface/pytorch-image-models,
timm/data/auto_augment.py, as facts); the random numbers are the sample's own.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.config.registry import suggest
from ppcls.data.transforms import policies
from ppcls.data.transforms.arguments import check_backend, check_hwc, check_interpolation, probability, size_pair
from ppcls.data.transforms.levels import ACTIONS, MAX_LEVEL, Scale
from ppcls.data.transforms.operations import OPERATIONS
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.tensor import IMAGENET_MEAN
from ppcls.data.transforms.warp import AFFINE, Canvas, colour
from ppcls.errors import ConfigError

_NAMES = (
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast"),
    *("Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
)
_INCREASING = {
    name: f"{name}Increasing" for name in ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
}
# Chances of the operations with w0; those that are not named are never chosen.
_WEIGHTS = {
    "Rotate": 0.3,
    "ShearX": 0.2,
    "ShearY": 0.2,
    "TranslateXRel": 0.1,
    "TranslateYRel": 0.1,
    **dict.fromkeys(("Color", "Sharpness", "AutoContrast"), 0.025),
    **dict.fromkeys(("Solarize", "SolarizeAdd", "Contrast", "Brightness", "Equalize"), 0.005),
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
_UNIFORM = 100  # a standard deviation from here on means: draw evenly between 0 and the level


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
class _Rand:
    """A number of operations, chosen with equal chances and repetition, or by weight and without."""

    steps: Steps
    count: int
    weights: Optional[Sequence[float]]

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        for index in rng.choice(len(self.steps), self.count, replace=self.weights is None, p=self.weights):
            image = self.steps[int(index)](image, canvas, scale, rng)
        return image


@dataclass(frozen=True)
class _Auto:
    """One sub-policy of several."""

    policy: Sequence[Steps]

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        for step in self.policy[int(rng.integers(len(self.policy)))]:
            image = step(image, canvas, scale, rng)
        return image


@dataclass(frozen=True)
class _AugMix:
    """Several chains of operations, mixed with each other and with the image (https://arxiv.org/abs/1912.02781)."""

    steps: Steps
    width: int
    depth: int
    alpha: float

    def __call__(self, image: np.ndarray, canvas: Canvas, scale: Scale, rng: np.random.Generator) -> np.ndarray:
        shares = rng.dirichlet([self.alpha] * self.width)
        mixed = np.zeros(image.shape, np.float32)
        for share in shares:
            chain = image
            for index in rng.choice(len(self.steps), self.depth if self.depth > 0 else int(rng.integers(1, 4))):
                chain = self.steps[int(index)](chain, canvas, scale, rng)
            mixed += np.float32(share) * chain
        weight = np.float32(rng.beta(self.alpha, self.alpha))
        # Cut off twice, as the definition has it: a mixture is an image again before it meets the original.
        mixed = np.clip(mixed, 0, 255).astype(np.uint8).astype(np.float32)
        return np.clip(image + weight * (mixed - image), 0, 255).astype(np.uint8)


@TRANSFORMS.register
@dataclass(frozen=True)
class TimmAutoAugment:
    """RandAugment, AutoAugment or AugMix as timm writes them.

    Args:
        prob: how likely an image is augmented at all.
        config_str: ``rand`` with ``m`` level (10), ``n`` operations (2), ``p`` chance of each (0.5), ``mstd`` standard
            deviation of the level, ``mmax`` its limit, ``inc1`` operations whose strength grows with the level, ``w0``
            weighted choice; ``original``, ``originalr``, ``v0``, ``v0r``, ``3a`` with ``mstd``; ``augmix`` with ``m``
            level (3), ``w`` chains (3), ``d`` operations a chain (-1: 1 to 3), ``a`` concentration (1), ``mstd``.
        interpolation: of rotations, shears and translations: nearest, bilinear, bicubic, or random.
        img_size: of the images that arrive, a side or [width, height]; translations are up to 45 % of the short side.
        mean: of the images, 0..1 a channel; what is outside gets this colour.
        backend: "cv2" or "pil"; colours agree bit for bit, geometry within interpolation.

    Raises:
        ConfigError: a value makes no sense.
    """

    prob: float = 1.0
    config_str: str = "rand-m9-mstd0.5-inc1"
    interpolation: str = "random"
    img_size: Union[int, Sequence[int]] = 224
    mean: Sequence[float] = IMAGENET_MEAN
    backend: str = "cv2"
    _augment: Augment = field(init=False, repr=False, compare=False)
    _canvas: Canvas = field(init=False, repr=False, compare=False)
    _scale: Scale = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        probability("prob", self.prob)
        check_interpolation(self.interpolation, AFFINE)
        check_backend(self.backend)
        if len(self.mean) != 3 or not all(0 <= value <= 1 for value in self.mean):
            raise ConfigError(f"mean: must be three numbers from 0 to 1, not {list(self.mean)!r}")
        augmix = self.config_str.startswith("augmix")
        side = min(size_pair("img_size", self.img_size))
        object.__setattr__(self, "_augment", parse(self.config_str))
        object.__setattr__(self, "_canvas", Canvas(self.interpolation, colour(self.mean), self.backend))
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
    return math.inf if value >= _UNIFORM else value


def _rand(kind: str, words: Sequence[str]) -> Augment:
    given = _values(words, {"m": 10.0, "n": 2.0, "p": 0.5, "mstd": 0.0, "mmax": 10.0, "inc": 0.0, "w": -1.0})
    limit = _within(given, "mmax", 1, 100)
    level = _within(given, "m", 0, limit)
    chance = _within(given, "p", 0, 1)
    names = [_INCREASING.get(name, name) if _within(given, "inc", 0, 1, whole=True) else name for name in _NAMES]
    weights = None
    if _within(given, "w", -1, 0, whole=True) == 0:
        weights = [_WEIGHTS.get(name, 0.0) for name in _NAMES]
    most = len(_NAMES) if weights is None else sum(weight > 0 for weight in weights)
    count = int(_within(given, "n", 1, most, whole=True))
    return _Rand([Step(name, chance, level, _deviation(given), limit) for name in names], count, weights)


def _auto(kind: str, words: Sequence[str]) -> Augment:
    deviation = _deviation(_values(words, {"mstd": 0.0}))
    return _Auto([[Step(*entry, deviation) for entry in row] for row in _POLICIES[kind]])


def _augmix(kind: str, words: Sequence[str]) -> Augment:
    given = _values(words, {"m": 3.0, "w": 3.0, "d": -1.0, "a": 1.0, "mstd": math.inf})
    level, deviation = _within(given, "m", 0, MAX_LEVEL), _deviation(given)
    return _AugMix(
        [Step(name, 1.0, level, deviation) for name in _AUGMIX],
        width=int(_within(given, "w", 1, 100, whole=True)),
        depth=int(_within(given, "d", -1, 100, whole=True)),
        alpha=_within(given, "a", 1e-3, 1e3),
    )


def policy_of(name: str) -> Tuple[Steps, ...]:
    """Return the sub-policies of an AutoAugment policy.

    Raises:
        ConfigError: an unknown name.
    """
    known = {"imagenet": policies.IMAGENET, "cifar10": policies.CIFAR10}
    if name not in known:
        raise ConfigError(f"policy: unknown name {name!r}{suggest(name, known)}")
    rows = policies.renamed(known[name], _POSTERIZE_ORIGINAL)
    return tuple(tuple(Step(*entry) for entry in row) for row in rows)
