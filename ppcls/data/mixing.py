"""How two images are mixed: the boxes and weights of mixup and cutmix."""

from __future__ import annotations

import math
from typing import Optional, Sequence, Tuple

import numpy as np

Box = Tuple[int, int, int, int]  # top, left, bottom, right


def mix_batch(images: np.ndarray, targets: np.ndarray, partner: np.ndarray, lam: float, box: Optional[Box]) -> None:
    """Mix a batch in place.

    Args:
        images: [B, C, H, W] float32.
        targets: [B, K] float32.
        partner: [B] int, the index of each sample's partner.
        lam: weight of the sample itself in the target and, for mixup, in the image.
        box: for cutmix, the box that is taken from the partner; None for mixup.
    """
    if lam == 1.0 and box is None:
        return
    if box is None:
        partners = images[partner]
        partners *= np.float32(1 - lam)
        images *= np.float32(lam)
        images += partners
    else:
        top, left, bottom, right = box
        images[:, :, top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    targets[:] = np.float32(lam) * targets + np.float32(1 - lam) * targets[partner]


def mix_image(image: np.ndarray, partner: np.ndarray, lam: float, box: Optional[Box]) -> None:
    """Mix one image [C, H, W] float32 in place with its partner; see ``mix_batch``."""
    if box is None:
        image *= np.float32(lam)
        image += np.float32(1 - lam) * partner
    else:
        top, left, bottom, right = box
        image[:, top:bottom, left:right] = partner[:, top:bottom, left:right]


def cutmix_box(height: int, width: int, lam: float, rng: np.random.Generator) -> Box:
    """Return a box with 1 - lam of the area around a random centre, clipped at the edges (CutMix, algorithm A1)."""
    side = math.sqrt(1 - lam)
    h, w = int(height * side), int(width * side)
    y, x = int(rng.integers(height)), int(rng.integers(width))
    return max(0, y - h // 2), max(0, x - w // 2), min(height, y + h // 2), min(width, x + w // 2)


def minmax_box(height: int, width: int, limits: Sequence[float], rng: np.random.Generator) -> Box:
    """Return a random box whose sides are within ``limits``, as fractions of the image's sides."""
    low, high = limits
    h = int(rng.integers(int(height * low), max(int(height * high), int(height * low) + 1)))
    w = int(rng.integers(int(width * low), max(int(width * high), int(width * low) + 1)))
    top, left = int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1))
    return top, left, top + h, left + w


def area_outside(height: int, width: int, box: Box) -> float:
    """Return the fraction of the image's area outside the box."""
    top, left, bottom, right = box
    return 1.0 - (bottom - top) * (right - left) / (height * width)
