"""Automatic augmentation with timm's configuration strings: ``rand-m9-mstd0.5-inc1``, ``original``, ``augmix-m3-w3``.

The keywords, operations, ranges and probabilities are those of timm
(https://github.com/huggingface/pytorch-image-models, timm/data/auto_augment.py). The random numbers are not.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, ClassVar, Dict, Mapping, Optional, Sequence, Union

import numpy as np

from ppcls.data.transforms import policies
from ppcls.data.transforms.arguments import (
    check_affine_interpolation,
    check_backend,
    check_hwc,
    per_channel,
    require_splits,
    size_pair,
)
from ppcls.data.transforms.magnitudes import MAX_LEVEL, MaxTranslation
from ppcls.data.transforms.policy_ops import AugMixPolicy, AutoAugmentPolicy, Policy, RandAugmentPolicy, SubPolicyOp
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.data.transforms.warp import AffineSampler, mean_color
from ppcls.errors import ConfigError
from ppcls.registry import suggest
from ppcls.registry.checks import require_probability
from ppcls.utils import imagenet

_OPERATIONS = (
    *("AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color", "Contrast"),
    *("Brightness", "Sharpness", "ShearX", "ShearY", "TranslateXRel", "TranslateYRel"),
)
_INCREASING = {
    name: f"{name}Increasing" for name in ("Posterize", "Solarize", "Color", "Contrast", "Brightness", "Sharpness")
}
# Weights of the operations with w0, as in older releases of timm. Other operations are never chosen.
_WEIGHTS = {
    "Rotate": 0.3,
    "ShearX": 0.2,
    "ShearY": 0.2,
    "TranslateXRel": 0.1,
    "TranslateYRel": 0.1,
    **dict.fromkeys(("Color", "Sharpness", "AutoContrast"), 0.025),
    **dict.fromkeys(("Solarize", "SolarizeAdd", "Contrast", "Brightness", "Equalize"), 0.005),
}
# Operations and their weights, by the names that the newer keyword ``t`` takes.
_OPERATION_SETS: Dict[str, Dict[str, float]] = {
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
_AUGMIX_OPERATIONS = (
    *("AutoContrast", "ColorIncreasing", "ContrastIncreasing", "BrightnessIncreasing", "SharpnessIncreasing"),
    *("Equalize", "Rotate", "PosterizeIncreasing", "SolarizeIncreasing", "ShearX", "ShearY"),
    *("TranslateXRel", "TranslateYRel"),
)
_POSTERIZE_ORIGINAL = {"Posterize": "PosterizeOriginal"}
_POSTERIZE_INCREASING = {"Posterize": "PosterizeIncreasing"}
_POLICIES: Dict[str, policies.PolicyTable] = {
    "original": policies.rename_operations(policies.IMAGENET, _POSTERIZE_ORIGINAL),
    "originalr": policies.rename_operations(policies.IMAGENET, _POSTERIZE_INCREASING),
    "v0": policies.V0,
    "v0r": policies.rename_operations(policies.V0, _POSTERIZE_INCREASING),
    "3a": policies.THREE_AUGMENT,
}
_MAX_CLIPPED = 30.0  # a larger level is refused as a misprint
_UNIFORM_STD = 100  # larger standard deviations mean that the level is drawn uniformly from 0 to its value


@TRANSFORMS.register
@dataclass(frozen=True)
class TimmAutoAugment:
    """RandAugment, AutoAugment or AugMix, with timm's configuration strings.

    Args:
        prob: probability that an image is augmented.
        config_str: the configuration; null leaves images as they are. One of ``rand`` with the keywords ``m`` level
            (10), ``n`` number of operations (2), ``p`` probability of each (0.5), ``mstd`` standard deviation of the
            level, ``mmax`` largest level (10; larger ones are clipped to it), ``inc1`` operations whose strength
            increases with the level, ``w0`` weighted choice, and ``tweights``, ``t3a`` or ``t3aw`` for another set of
            operations; ``original``, ``originalr``, ``v0``, ``v0r`` or ``3a`` with ``mstd``; ``augmix`` with ``m``
            level (3), ``w`` number of chains (3), ``d`` operations per chain (-1: 1 to 3), ``a`` concentration (1),
            ``b1`` chains blended one after the other, and ``mstd``.
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        img_size: size of the input, a side or [width, height]. Translations are up to 45 % of the short side.
        mean: fill colour outside of the image, 0 to 1 per channel.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.
        splits: number of images made of each: the clean one and ``splits`` - 1 augmented ones, for JSDCrossEntropy;
            0 or 1 makes one, augmented. For training only.

    Raises:
        ConfigError: an argument is invalid.
    """

    needs_rgb: ClassVar[bool] = True

    prob: float = 1.0
    config_str: Optional[str] = "rand-m9-mstd0.5-inc1"
    interpolation: str = "bicubic"
    img_size: Union[int, Sequence[int]] = 224
    mean: Sequence[float] = imagenet.MEAN
    backend: str = "cv2"
    splits: int = 1
    _policy: Optional[Policy] = field(init=False, repr=False, compare=False)
    _sampler: AffineSampler = field(init=False, repr=False, compare=False)
    _max_translation: MaxTranslation = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require_probability("prob", self.prob)
        check_affine_interpolation(self.interpolation)
        check_backend(self.backend)
        mean = per_channel("mean", self.mean)
        if not all(0 <= value <= 1 for value in mean):
            raise ConfigError(f"mean: must be from 0 to 1, not {self.mean!r}")
        if self.config_str is not None and not isinstance(self.config_str, str):
            raise ConfigError(f"config_str: must be text such as rand-m9-mstd0.5-inc1, not {self.config_str!r}")
        require_splits(self.splits)
        if self.config_str is None and self.splits > 1:
            raise ConfigError("splits: needs a config_str, such as augmix-m3-w3")
        augmix = (self.config_str or "").startswith("augmix")
        side = min(size_pair("img_size", self.img_size))
        object.__setattr__(self, "_policy", None if self.config_str is None else parse(self.config_str))
        object.__setattr__(self, "_sampler", AffineSampler(self.interpolation, mean_color(mean), self.backend))
        object.__setattr__(self, "_max_translation", MaxTranslation(int(side * 0.45), 0.3 if augmix else 0.45))

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        if self._policy is None or (self.prob < 1 and rng.random() >= self.prob):
            return image
        return self._policy(image, self._sampler, self._max_translation, rng)


def parse(text: str) -> Policy:
    """Parse a configuration such as ``rand-m9-mstd0.5-inc1``.

    Raises:
        ConfigError: a kind or keyword is unknown, or a value is out of range.
    """
    kind, *words = text.split("-")
    # A minus sign, as in d-1, is not a separator.
    words = re.findall(r"[^-]+?-(?=\d)[^-]+|[^-]+", "-".join(words)) if kind == "augmix" else words
    kinds = {"rand": _parse_rand, "augmix": _parse_augmix, **dict.fromkeys(_POLICIES, _parse_auto)}
    if kind not in kinds:
        raise ConfigError(f"config_str: {text!r}: unknown kind {kind!r}{suggest(kind, kinds)}")
    try:
        return kinds[kind](kind, words)
    except ConfigError as error:
        raise ConfigError(f"config_str: {text!r}: {error}") from None


def _parse_values(words: Sequence[str], defaults: Mapping[str, float]) -> Dict[str, float]:
    """Return the values of keywords such as ``m9``, and the defaults of the others.

    Raises:
        ConfigError: a keyword is unknown, has no number, or is given twice.
    """
    values = dict(defaults)
    seen = set()
    for word in words:
        match = re.fullmatch(r"([a-z]+)(-?\d+\.?\d*|-?\.\d+|inf)", word)
        if match is None or match[1] not in defaults:
            raise ConfigError(f"unknown word {word!r}; known: {', '.join(f'{key}<number>' for key in defaults)}")
        if match[1] in seen:
            raise ConfigError(f"{match[1]!r} is given twice")
        seen.add(match[1])
        values[match[1]] = float(match[2])
    return values


def _require_range(values: Mapping[str, float], key: str, low: float, high: float, whole: bool = False) -> float:
    value = values[key]
    if not low <= value <= high or (whole and not value.is_integer()):
        raise ConfigError(f"{key}: must be {'a whole number ' if whole else ''}from {low:g} to {high:g}, not {value:g}")
    return value


def _level_std(values: Mapping[str, float]) -> float:
    value = _require_range(values, "mstd", 0, math.inf)
    return math.inf if value > _UNIFORM_STD else value


def _parse_rand(kind: str, words: Sequence[str]) -> Policy:
    sets = [word[1:] for word in words if word.startswith("t")]
    values = _parse_values(
        [word for word in words if not word.startswith("t")],
        {"m": MAX_LEVEL, "n": 2.0, "p": 0.5, "mstd": 0.0, "mmax": MAX_LEVEL, "inc": 0.0, "w": -1.0},
    )
    limit = _require_range(values, "mmax", 1, 100)
    # PaddleClas's recipes have m15, which timm clips to mmax after the level is drawn; so does SubPolicyOp.
    level, probability = _require_range(values, "m", 0, max(limit, _MAX_CLIPPED)), _require_range(values, "p", 0, 1)
    weights = _choose_operations(
        sets,
        increasing=bool(_require_range(values, "inc", 0, 1, whole=True)),
        weighted=_require_range(values, "w", -1, 0, whole=True) == 0,
    )
    uniform = len(set(weights.values())) == 1
    count = int(_require_range(values, "n", 1, len(weights), whole=True))
    normalized = None if uniform else [weight / sum(weights.values()) for weight in weights.values()]
    ops = [SubPolicyOp(name, probability, level, _level_std(values), limit) for name in weights]
    return RandAugmentPolicy(ops, count, normalized)


def _choose_operations(sets: Sequence[str], increasing: bool, weighted: bool) -> Dict[str, float]:
    """Return the operations for ``rand`` and their weights; equal weights mean a uniform choice."""
    if len(sets) + weighted > 1:
        raise ConfigError("give one of w0 and t")
    if sets:
        if sets[0] not in _OPERATION_SETS:
            raise ConfigError(f"t: unknown set {sets[0]!r}{suggest(sets[0], _OPERATION_SETS)}")
        return _OPERATION_SETS[sets[0]]
    weights = _WEIGHTS if weighted else dict.fromkeys(_OPERATIONS, 1.0)
    return {_INCREASING.get(name, name) if increasing else name: weight for name, weight in weights.items()}


def _parse_auto(kind: str, words: Sequence[str]) -> Policy:
    level_std = _level_std(_parse_values(words, {"mstd": 0.0}))
    sub_policies = [[SubPolicyOp(*op, level_std) for op in sub_policy] for sub_policy in _POLICIES[kind]]
    return AutoAugmentPolicy(sub_policies)


def _parse_augmix(kind: str, words: Sequence[str]) -> Policy:
    values = _parse_values(words, {"m": 3.0, "w": 3.0, "d": -1.0, "a": 1.0, "b": 0.0, "mstd": math.inf})
    level, level_std = _require_range(values, "m", 0, MAX_LEVEL), _level_std(values)
    return AugMixPolicy(
        [SubPolicyOp(name, 1.0, level, level_std) for name in _AUGMIX_OPERATIONS],
        width=int(_require_range(values, "w", 1, 100, whole=True)),
        depth=int(_require_range(values, "d", -1, 100, whole=True)),
        alpha=_require_range(values, "a", 1e-3, 1e3),
        blended=bool(_require_range(values, "b", 0, 1, whole=True)),
    )
