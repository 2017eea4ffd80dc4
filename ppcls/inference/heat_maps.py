"""Heat maps: their scale, their size, and how they are drawn on a photo.

One scale and one set of colours for Grad-CAM and occlusion, on the command line, in reports and on the server's page.
"""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ppcls.utils.opencv import cv2

SHUFFLES = 2  # random orders of an image's pixels, for what they give by chance
_UNLIKE = 0.5  # likeness to the pixels in random order up to which heat is whole
_NOISE = 1 / 3  # the most heat of an image that is like them
# Colours by heat; between them they are mixed. Opacity grows with the heat, up to this.
COLORS = ((0.0, (255, 225, 60)), (0.5, (255, 140, 0)), (1.0, (214, 20, 30)))
OPACITY = 0.8
OUTLINE = 0.5  # a line is drawn around where the heat is at least this: also seen on photos of these colours
_ROWS = 256  # of a photo at a time: in float32 all of them would take twelve times its memory
_SMALL = 64  # pixels; on smaller pictures the line would hide what it encloses


def scaled(evidence: np.ndarray, enough: float, likeness: np.ndarray) -> np.ndarray:
    """Return heat from 0 to 1, [B, h, w] float32, of evidence [B, h, w]; negative evidence is 0.

    Each image is divided by its own strongest evidence or, if that is more, by ``enough``: weak evidence stays pale.
    The heat of an image of noise is reduced to a third, as nothing in it stands out more than in the same pixels in
    random order.

    Args:
        enough: evidence that decides for the class by itself.
        likeness: how like the evidence is to that of the same pixels in random order, [B]: 1 is the same; up to 0.5
            nothing is reduced.
    """
    positive = np.maximum(evidence, 0).astype(np.float32)
    most = np.maximum(positive.max(axis=(1, 2)), enough)
    reduced = np.clip((likeness - _UNLIKE) / (1 - _UNLIKE), 0, 1) * (1 - _NOISE)
    return positive * ((1 - reduced) / most).astype(np.float32)[:, None, None]


def shuffled(images: np.ndarray, seed: int, channels_last: bool = False) -> np.ndarray:
    """Return images [B, C, H, W], or with ``channels_last`` [B, H, W, C], with their pixels in random order."""
    first = 1 if channels_last else 2
    height, width = images.shape[first : first + 2]
    flat = images.reshape(*images.shape[:first], height * width, *images.shape[first + 2 :])
    order = np.random.default_rng(seed).permutation(height * width)
    return np.take(flat, order, axis=first).reshape(images.shape)


def stretched(heat: np.ndarray, size: Tuple[int, int], stride: int = 0) -> np.ndarray:
    """Return heat [B, h, w] at a resolution, [B, H, W] float32.

    Args:
        size: (H, W).
        stride: pixels per position. Where h * stride is less than H, the model does not see the last rows, which are 0;
            where it is more, the last positions reach beyond the image. 0 if the positions cover the image exactly.
    """
    height, width = size
    result = np.zeros((len(heat), height, width), np.float32)
    for target, source in zip(result, heat):
        covered = (source.shape[0] * stride, source.shape[1] * stride) if stride else size
        large = cv2.resize(source, covered[::-1], interpolation=cv2.INTER_LINEAR)[:height, :width]
        target[: large.shape[0], : large.shape[1]] = large
    return result


def overlay(photo: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Return a photo with heat drawn on it, [H, W, 3] uint8: where there is none, the photo is as it was.

    Args:
        photo: RGB [H, W, 3] uint8.
        heat: [H, W], from 0 to 1.

    Raises:
        ValueError: they differ in size.
    """
    if photo.shape[:2] != heat.shape:
        raise ValueError(f"a heat map of {list(heat.shape)} for a photo of {list(photo.shape[:2])}")
    positions = [position for position, _ in COLORS]
    levels = np.linspace(0, 1, 256, dtype=np.float32)
    table = np.stack([np.interp(levels, positions, [color[c] for _, color in COLORS]) for c in range(3)], axis=1)
    table = table.astype(np.float32)
    result = np.empty(photo.shape, np.uint8)
    for top in range(0, len(photo), _ROWS):
        rows = slice(top, top + _ROWS)
        index = np.rint(np.clip(heat[rows], 0, 1) * 255).astype(np.uint8)
        alpha = OPACITY * levels[index][:, :, None]
        result[rows] = np.rint(photo[rows] * (1 - alpha) + table[index] * alpha)
    _draw_outline(result, heat)
    return result


def _draw_outline(picture: np.ndarray, heat: np.ndarray) -> None:
    """Draw a white line in a dark one around where the heat is at least ``OUTLINE``."""
    side = min(picture.shape[:2])
    if side < _SMALL:
        return
    lines, _ = cv2.findContours((heat >= OUTLINE).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(side / 250))
    cv2.drawContours(picture, lines, -1, (40, 40, 40), width + 1 + width % 2)
    cv2.drawContours(picture, lines, -1, (255, 255, 255), width)
