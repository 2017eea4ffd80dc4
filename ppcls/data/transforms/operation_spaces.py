"""The operations that RandAugment and its relatives choose from, with the magnitude of each at a given strength."""

from __future__ import annotations

from typing import Any, Callable, Mapping

import numpy as np

from ppcls.data.transforms.operations import OPERATIONS, random_sign
from ppcls.data.transforms.warp import AffineSampler

# From a strength, 0 to 1, the image and a random generator to a magnitude.
MagnitudeFunction = Callable[[float, np.ndarray, np.random.Generator], float]
OperationSpace = Mapping[str, MagnitudeFunction]
TRANSLATION = 150 / 331  # largest translation in AutoAugment's table 6: 150 pixels of 331
ENHANCEMENTS = ("Brightness", "Color", "Contrast", "Sharpness")


def no_magnitude(strength: float, image: np.ndarray, rng: np.random.Generator) -> float:
    """Return 0, for operations without a magnitude."""
    return 0.0


def signed(largest: float) -> MagnitudeFunction:
    """Return the function whose magnitude is up to ``largest``, in either direction."""
    return lambda strength, image, rng: random_sign(rng) * strength * largest


def signed_factor(largest: float) -> MagnitudeFunction:
    """Return the function of a factor that differs from 1 by up to ``largest``, in either direction."""
    return lambda strength, image, rng: 1 + random_sign(rng) * strength * largest


def signed_pixels(largest: float) -> MagnitudeFunction:
    """Return the function of a translation of up to ``largest`` pixels."""
    return lambda strength, image, rng: int(random_sign(rng) * strength * largest)


def fraction_of_side(axis: int) -> MagnitudeFunction:
    """Return the function of a translation of up to 150 / 331 of the image's side along ``axis``."""
    return lambda strength, image, rng: int(random_sign(rng) * strength * TRANSLATION * image.shape[axis])


def fourteen_operations(
    shear: float, rotate: float, factor: float, bits: int, translate: Callable[[int], MagnitudeFunction]
) -> OperationSpace:
    """Return RandAugment's fourteen operations (https://arxiv.org/abs/1909.13719, figure 2).

    Args:
        shear: largest shear.
        rotate: largest rotation, in degrees.
        factor: largest change of a factor.
        bits: largest number of bits that Posterize removes.
        translate: returns the magnitude function of translations along an axis of the image, in pixels.
    """
    return {
        **dict.fromkeys(("Identity", "AutoContrast", "Equalize"), no_magnitude),
        **dict.fromkeys(("ShearX", "ShearY"), signed(shear)),
        "TranslateX": translate(1),
        "TranslateY": translate(0),
        "Rotate": signed(rotate),
        **dict.fromkeys(ENHANCEMENTS, signed_factor(factor)),
        "Posterize": lambda strength, image, rng: 8 - round(strength * bits),
        "Solarize": lambda strength, image, rng: 255 * (1 - strength),
    }


def apply_random_operation(
    image: np.ndarray, space: OperationSpace, strength: float, sampler: AffineSampler, rng: np.random.Generator
) -> Any:
    """Return the image after one operation of ``space``, chosen uniformly."""
    name = tuple(space)[rng.integers(len(space))]
    return OPERATIONS[name](image, space[name](strength, image, rng), sampler, rng)
