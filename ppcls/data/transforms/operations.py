"""The operations that the automatic augmentations choose from, by the papers' names.

AutoAugment, https://arxiv.org/abs/1805.09501, table 6; RandAugment, https://arxiv.org/abs/1909.13719.
"""

from __future__ import annotations

from typing import Callable, Dict

import numpy as np

from ppcls.data.transforms import pixels, warp
from ppcls.data.transforms.warp import Canvas

Operation = Callable[[np.ndarray, float, Canvas, np.random.Generator], np.ndarray]


def _colours(change: Callable[[np.ndarray, float], np.ndarray]) -> Operation:
    return lambda image, value, canvas, rng: change(image, value)


def _shear_x(image: np.ndarray, value: float, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    return canvas.affine(image, (1, value, 0, 0, 1, 0), rng)


def _shear_y(image: np.ndarray, value: float, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    return canvas.affine(image, (1, 0, 0, value, 1, 0), rng)


def _translate_x(image: np.ndarray, value: float, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    return canvas.affine(image, (1, 0, value, 0, 1, 0), rng)


def _translate_y(image: np.ndarray, value: float, canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    return canvas.affine(image, (1, 0, 0, 0, 1, value), rng)


# Each takes the image, its magnitude in the unit that is given here, and how pixels are looked up.
OPERATIONS: Dict[str, Operation] = {
    "Identity": lambda image, value, canvas, rng: image,
    "AutoContrast": lambda image, value, canvas, rng: pixels.autocontrast(image),
    "Equalize": lambda image, value, canvas, rng: pixels.equalize(image),
    "Invert": lambda image, value, canvas, rng: pixels.invert(image),
    "Posterize": lambda image, value, canvas, rng: pixels.posterize(image, int(value)),  # bits kept
    "Solarize": _colours(pixels.solarize),  # threshold
    "SolarizeAdd": lambda image, value, canvas, rng: pixels.solarize_add(image, int(value)),  # addend
    "Brightness": _colours(pixels.brightness),  # factors: 1 changes nothing
    "Color": _colours(pixels.color),
    "Contrast": _colours(pixels.contrast),
    "Sharpness": _colours(pixels.sharpness),
    "Desaturate": _colours(pixels.desaturate),  # share of the colour taken away
    "GaussianBlur": lambda image, value, canvas, rng: warp.blur(image, value, canvas.backend),  # pixels
    "ShearX": _shear_x,  # pixels a pixel
    "ShearY": _shear_y,
    "TranslateX": _translate_x,  # pixels
    "TranslateY": _translate_y,
    "TranslateXRel": lambda image, value, *rest: _translate_x(image, value * image.shape[1], *rest),  # of the width
    "TranslateYRel": lambda image, value, *rest: _translate_y(image, value * image.shape[0], *rest),  # of the height
    "Rotate": lambda image, value, canvas, rng: canvas.rotate(image, value, rng),  # degrees, counterclockwise
}


def sign(rng: np.random.Generator) -> int:
    """Return 1 or -1, with equal chances."""
    return 1 if rng.random() < 0.5 else -1
