"""What the page shows of a heat map, with the scale and the colours of ``ppcls explain``."""

from __future__ import annotations

import base64
from typing import Optional

import numpy as np

from ppcls.inference import occlusion
from ppcls.inference.heat_maps import overlay, stretched
from ppcls.utils.opencv import cv2

_SIDE = 224  # pixels; smaller pictures are enlarged by a whole number


def draw(seen: Optional[np.ndarray], falls: np.ndarray, whole: float, by_chance: float) -> Optional[str]:
    """Return a picture with heat on it as a data URL (JPEG); None without a picture.

    Args:
        seen: the image as the model sees it, [H, W, 3] uint8 RGB.
        falls: how far the score falls where each cell is covered, [grid, grid].
        whole: the score for the whole picture.
        by_chance: that for the picture with its pixels in random order.
    """
    if seen is None:
        return None
    scale = max(1, round(_SIDE / seen.shape[1]))
    large = seen.repeat(scale, 0).repeat(scale, 1)
    heat = stretched(occlusion.scaled(falls, whole, by_chance)[None], (large.shape[0], large.shape[1]))[0]
    return data_url(overlay(large, heat), "jpeg")


def data_url(picture: np.ndarray, kind: str) -> str:
    """Return a picture [H, W, 3] uint8 RGB as a data URL.

    Args:
        kind: "png" or "jpeg".
    """
    _, encoded = cv2.imencode(f".{kind}", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode('ascii')}"
