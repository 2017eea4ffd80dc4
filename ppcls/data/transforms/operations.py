"""The operations of the automatic augmentations, by the names of the papers.

AutoAugment, https://arxiv.org/abs/1805.09501, table 6; RandAugment, https://arxiv.org/abs/1909.13719.
"""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

from ppcls.data.transforms import pixels, warp
from ppcls.data.transforms.warp import AffineSampler

Operation = Callable[[np.ndarray, float, AffineSampler, np.random.Generator], np.ndarray]


def _color_operation(change: Callable[[np.ndarray, float], np.ndarray]) -> Operation:
    return lambda image, value, sampler, rng: change(image, value)


def _shear_x(image: np.ndarray, value: float, sampler: AffineSampler, rng: np.random.Generator) -> np.ndarray:
    return sampler.affine(image, (1, value, 0, 0, 1, 0), rng)


def _shear_y(image: np.ndarray, value: float, sampler: AffineSampler, rng: np.random.Generator) -> np.ndarray:
    return sampler.affine(image, (1, 0, 0, value, 1, 0), rng)


def _translate_x(image: np.ndarray, value: float, sampler: AffineSampler, rng: np.random.Generator) -> np.ndarray:
    return sampler.affine(image, (1, 0, value, 0, 1, 0), rng)


def _translate_y(image: np.ndarray, value: float, sampler: AffineSampler, rng: np.random.Generator) -> np.ndarray:
    return sampler.affine(image, (1, 0, 0, 0, 1, value), rng)


def _cutout(image: np.ndarray, value: float, sampler: AffineSampler, rng: np.random.Generator) -> np.ndarray:
    half, height, width = int(value), *image.shape[:2]
    y, x = int(rng.integers(height + 1)), int(rng.integers(width + 1))
    image = image.copy()
    image[max(0, y - half) : y + half, max(0, x - half) : x + half] = sampler.fill
    return image


# The arguments are the image, the magnitude in the unit given here, the affine sampler and the random generator.
OPERATIONS: Dict[str, Operation] = {
    "Identity": lambda image, value, sampler, rng: image,
    "AutoContrast": lambda image, value, sampler, rng: pixels.autocontrast(image),
    "Equalize": lambda image, value, sampler, rng: pixels.equalize(image),
    "Invert": lambda image, value, sampler, rng: pixels.invert(image),
    "Posterize": lambda image, value, sampler, rng: pixels.posterize(image, int(value)),  # number of bits kept
    "Solarize": _color_operation(pixels.solarize),  # threshold
    "SolarizeAdd": lambda image, value, sampler, rng: pixels.solarize_add(image, int(value)),  # addend
    "Brightness": _color_operation(pixels.brightness),  # factor; 1 changes nothing
    "Color": _color_operation(pixels.color),
    "Contrast": _color_operation(pixels.contrast),
    "Sharpness": _color_operation(pixels.sharpness),
    "Cutout": _cutout,  # half the side of the square, in pixels
    "Desaturate": _color_operation(pixels.desaturate),  # fraction of the colour that is removed
    "GaussianBlur": lambda image, value, sampler, rng: warp.blur(image, value, sampler.backend),  # pixels
    "ShearX": _shear_x,  # shear factor
    "ShearY": _shear_y,
    "TranslateX": _translate_x,  # pixels
    "TranslateY": _translate_y,
    "TranslateXRel": lambda image, value, *rest: _translate_x(
        image, value * image.shape[1], *rest
    ),  # fraction of the width
    "TranslateYRel": lambda image, value, *rest: _translate_y(
        image, value * image.shape[0], *rest
    ),  # fraction of the height
    "Rotate": lambda image, value, sampler, rng: sampler.rotate(image, value, rng),  # degrees, counterclockwise
}


def random_sign(rng: np.random.Generator) -> int:
    """Return 1 or -1, with equal probability."""
    return 1 if rng.random() < 0.5 else -1
