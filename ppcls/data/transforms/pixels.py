"""Operations on the colours of images [H, W, 3] uint8. The results equal Pillow's bit for bit.

The definitions are in the documentation of Pillow's ImageOps and ImageEnhance. Values are truncated, not rounded, where
Pillow truncates them.
"""

from __future__ import annotations

import numpy as np

from ppcls.utils.opencv import cv2

_LEVELS = np.arange(256)
# ITU-R 601-2 luma in 16-bit fixed point, as in Pillow's conversion to "L", and one half for rounding.
_LUMA = np.array([[19595, 38470, 7471, 2**15]], np.float32)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


def invert(image: np.ndarray) -> np.ndarray:
    """Return 255 - image."""
    return cv2.bitwise_not(image)


def posterize(image: np.ndarray, bits: int) -> np.ndarray:
    """Return the image with only the ``bits`` (0 to 8) most significant bits of each value kept."""
    return _look_up(image, _LEVELS & ~(2 ** (8 - bits) - 1))


def solarize(image: np.ndarray, threshold: float) -> np.ndarray:
    """Return the image with all values of at least ``threshold`` inverted."""
    return _look_up(image, np.where(threshold > _LEVELS, _LEVELS, 255 - _LEVELS))


def solarize_add(image: np.ndarray, addend: int, threshold: int = 128) -> np.ndarray:
    """Return the image with ``addend`` added to all values below ``threshold``."""
    return _look_up(image, np.where(threshold > _LEVELS, np.minimum(255, _LEVELS + addend), _LEVELS))


def autocontrast(image: np.ndarray) -> np.ndarray:
    """Return the image with each channel stretched to 0..255."""
    tables = []
    for plane in cv2.split(image):
        low, high, _, _ = cv2.minMaxLoc(plane)
        if high <= low:
            tables.append(_LEVELS)
            continue
        scale = 255.0 / (high - low)
        tables.append(np.clip(np.trunc(_LEVELS * scale - low * scale), 0, 255))
    return _look_up(image, np.stack(tables, axis=-1))


def equalize(image: np.ndarray) -> np.ndarray:
    """Return the image with the histogram of each channel equalized."""
    tables = []
    for channel in range(3):
        histogram = _histogram(image, channel)
        nonzero = histogram[histogram > 0]
        step = int(nonzero.sum() - nonzero[-1]) // 255
        if len(nonzero) <= 1 or not step:
            tables.append(_LEVELS)
            continue
        below = np.concatenate([[0], np.cumsum(histogram)[:-1]])
        tables.append(np.minimum((step // 2 + below) // step, 255))
    return _look_up(image, np.stack(tables, axis=-1))


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """Return a blend of black and the image: factor 0 is black, 1 the image, and more is brighter."""
    return _look_up(image, blend(np.zeros(256), _LEVELS, factor))


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """Return a blend of the mean grey level and the image: factor 0 is grey, and 1 the image."""
    luma = grayscale(image)
    mean = int(cv2.sumElems(luma)[0] / luma.size + 0.5)
    return _look_up(image, blend(np.full(256, mean), _LEVELS, factor))


def color(image: np.ndarray, factor: float) -> np.ndarray:
    """Return a blend of the grayscale image and the image: factor 0 is grey, 1 the image, and more is more vivid."""
    return blend(cv2.cvtColor(grayscale(image), cv2.COLOR_GRAY2RGB), image, factor)


def sharpness(image: np.ndarray, factor: float) -> np.ndarray:
    """Return a blend of the smoothed image and the image: factor 0 is smooth, 1 the image, and more is sharper."""
    return blend(_smooth(image), image, factor)


def desaturate(image: np.ndarray, amount: float) -> np.ndarray:
    """Return the image with a fraction of its colour removed."""
    return color(image, 1.0 - amount)


def grayscale(image: np.ndarray) -> np.ndarray:
    """Return the luma [H, W] uint8."""
    # float32 adds whole numbers below 2^24 exactly.
    total = cv2.transform(image.astype(np.float32), _LUMA)
    return (total * np.float32(2**-16)).astype(np.uint8)


def blend(base: np.ndarray, image: np.ndarray, factor: float) -> np.ndarray:
    """Return base + factor (image - base), like Pillow's Image.blend: in float32, clipped to 0..255 and truncated."""
    start, blended = base.astype(np.float32), image.astype(np.float32)
    blended -= start
    blended *= np.float32(factor)
    blended += start
    if not 0 <= factor <= 1:
        np.clip(blended, 0, 255, out=blended)
    return blended.astype(np.uint8)


def _smooth(image: np.ndarray) -> np.ndarray:
    """Return the image after Pillow's SMOOTH filter: 3 x 3, weight 5 at the centre and 1 elsewhere. Edges are kept."""
    if min(image.shape[:2]) < 3:
        return image
    # A multiple of 1/13 is never half-way between whole numbers, so float32 rounds it like integer arithmetic.
    smooth = cv2.filter2D(image, -1, _SMOOTH)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        smooth[edge] = image[edge]
    return smooth


def _look_up(image: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return table[image]. The table is [256], or [256, 3] with one table per channel."""
    return cv2.LUT(image, np.ascontiguousarray(table.astype(np.uint8).reshape(1, 256, -1)))


def _histogram(image: np.ndarray, channel: int) -> np.ndarray:
    return cv2.calcHist([image], [channel], None, [256], [0, 256]).reshape(256).astype(np.int64)
