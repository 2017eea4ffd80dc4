"""The variants of RandAugment that PaddleClas's recipes name: RandAugmentV2, RandAugmentV3 and RandAugmentV4.

The operations and ranges are those of ppcls/data/preprocess/ops/randaugment.py in
https://github.com/PaddlePaddle/PaddleClas. Rotations go in either direction in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence, Union

import numpy as np

from ppcls.data.transforms.arguments import check_hwc, require_stages
from ppcls.data.transforms.auto_augment import GeometryArguments
from ppcls.data.transforms.operation_spaces import (
    ENHANCEMENTS,
    OperationSpace,
    apply_random_operation,
    fraction_of_side,
    no_magnitude,
    signed,
    signed_factor,
    signed_pixels,
)
from ppcls.data.transforms.registry import TRANSFORMS
from ppcls.errors import ConfigError
from ppcls.registry.checks import require_int, require_number

_LEVELS = 10  # the magnitude that has strength 1
_MAX_MAGNITUDE = 30.0
_WITHOUT_MAGNITUDE = dict.fromkeys(("AutoContrast", "Equalize", "Invert"), no_magnitude)
# EfficientNet's code: factors from 0.1 up, and more bits and a higher threshold at a higher strength.
_V2: OperationSpace = {
    **dict.fromkeys(("ShearX", "ShearY"), signed(0.3)),
    **dict.fromkeys(("TranslateX", "TranslateY"), signed_pixels(100)),
    "Rotate": signed(30.0),
    **dict.fromkeys(ENHANCEMENTS, lambda strength, image, rng: 1.8 * strength + 0.1),
    "Posterize": lambda strength, image, rng: min(8, int(4 * strength)),
    "Solarize": lambda strength, image, rng: int(256 * strength),
    "SolarizeAdd": lambda strength, image, rng: int(110 * strength),
    "Cutout": lambda strength, image, rng: int(40 * strength),
    **_WITHOUT_MAGNITUDE,
}
_V3: OperationSpace = {
    **dict.fromkeys(("ShearX", "ShearY"), signed(0.3)),
    "TranslateX": fraction_of_side(1),
    "TranslateY": fraction_of_side(0),
    "Rotate": signed(30.0),
    **dict.fromkeys(ENHANCEMENTS, signed_factor(0.9)),
    "Posterize": lambda strength, image, rng: 8 - int(4 * strength),
    "Solarize": lambda strength, image, rng: 255 * (1 - strength),
    **_WITHOUT_MAGNITUDE,
}
_V4: OperationSpace = {
    **_V3,
    "Posterize": lambda strength, image, rng: round(8 - 4 * strength),
    "Solarize": lambda strength, image, rng: 256 * (1 - strength),
    "Cutout": lambda strength, image, rng: round(20 * strength),
}
_V4_STEPS = 9  # its strengths are 1/9, 2/9, ..., 1


def _require_magnitude(name: str, value: Any, largest: float) -> None:
    if not 0 <= require_number(name, value) <= largest:
        raise ConfigError(f"{name}: must be from 0 to {largest:g}, not {value!r}")


@TRANSFORMS.register
@dataclass(frozen=True)
class RandAugmentV2(GeometryArguments):
    """RandAugment with the sixteen operations and ranges of EfficientNetV2 (https://arxiv.org/abs/2104.00298).

    Args:
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour outside of the image, and of Cutout.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.
        num_layers: number of operations, applied one after the other.
        magnitude: strength of all operations, from 0 to 30; 10 is the end of the ranges of AutoAugment.
        progress_magnitude: magnitude in each stage of progressive training (``Global.train_mode``), instead of
            ``magnitude``.

    Raises:
        ConfigError: an argument is invalid.
    """

    num_layers: int = 2
    magnitude: float = 5
    progress_magnitude: Optional[Sequence[float]] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_int("num_layers", self.num_layers, 1)
        _require_magnitude("magnitude", self.magnitude, _MAX_MAGNITUDE)
        require_stages("progress_magnitude", self.progress_magnitude)
        for magnitude in self.progress_magnitude or ():
            _require_magnitude("progress_magnitude", magnitude, _MAX_MAGNITUDE)

    @property
    def stages(self) -> int:
        """Return the number of stages of progressive training; 0 without ``progress_magnitude``."""
        return len(self.progress_magnitude or ())

    def at_stage(self, stage: int) -> RandAugmentV2:
        """Return the transform of a stage of progressive training, counted from 0."""
        return replace(self, magnitude=self.progress_magnitude[stage]) if self.progress_magnitude else self

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        for _ in range(self.num_layers):
            image = apply_random_operation(image, _V2, self.magnitude / _LEVELS, self._sampler, rng)
        return image


@TRANSFORMS.register
@dataclass(frozen=True)
class RandAugmentV3(GeometryArguments):
    """RandAugment with bicubic interpolation, for MobileViTV2: Invert instead of Identity.

    Args:
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour outside of the image.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.
        num_layers: number of operations, applied one after the other.
        magnitude: strength of all operations, from 0 to 10.

    Raises:
        ConfigError: an argument is invalid.
    """

    interpolation: str = "bicubic"
    fill: Union[int, Sequence[int]] = 0
    num_layers: int = 2
    magnitude: float = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        require_int("num_layers", self.num_layers, 1)
        _require_magnitude("magnitude", self.magnitude, _LEVELS)

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        for _ in range(self.num_layers):
            image = apply_random_operation(image, _V3, self.magnitude / _LEVELS, self._sampler, rng)
        return image


@TRANSFORMS.register
@dataclass(frozen=True)
class RandAugmentV4(GeometryArguments):
    """Two random operations of fifteen, each with probability 1/2 and a random strength, as in ML-Decoder.

    The strength of each is one of 1/9, 2/9, ..., 1 (https://arxiv.org/abs/2111.12933).

    Args:
        interpolation: for rotations, shears and translations: nearest, bilinear, bicubic or random.
        fill: colour outside of the image, and of Cutout.
        backend: "cv2" or "pil". Colours are equal bit for bit; geometry differs by the interpolation.

    Raises:
        ConfigError: an argument is invalid.
    """

    interpolation: str = "bicubic"

    def __call__(self, image: Any, rng: np.random.Generator) -> np.ndarray:
        """Return the augmented image [H, W, 3] uint8."""
        check_hwc(image)
        for _ in range(2):
            if rng.random() < 0.5:
                strength = int(rng.integers(1, _V4_STEPS + 1)) / _V4_STEPS
                image = apply_random_operation(image, _V4, strength, self._sampler, rng)
        return image
