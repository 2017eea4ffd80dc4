"""Which part of a photo a model sees, and heat on the photo itself instead of the model's picture.

Transforms resize, crop and pad. A photo whose colours are its coordinates goes through the same transforms: what comes
out tells where each pixel is from, whatever the transforms are.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Tuple

import numpy as np

from ppcls.data.transforms import Compose
from ppcls.data.transforms.conversion import CHANNELS, to_channels
from ppcls.errors import DataError
from ppcls.utils.opencv import cv2

_WHITE = 255
_FIT = 2.0  # grey levels that a coordinate may be away from a straight line


class SeenArea(NamedTuple):
    """The rectangle of a photo that a model's picture shows, in pixels of the photo; padding reaches beyond it."""

    left: float
    top: float
    right: float
    bottom: float


def picture(transforms: Compose, photo: Any) -> Optional[np.ndarray]:
    """Return the picture that a model sees, before normalization, [h, w, 3] uint8 RGB; None where that is no picture.

    Args:
        photo: RGB [H, W, 3] uint8, or an encoded file's bytes.

    Raises:
        DataError: the transforms refuse the photo.
    """
    seen = transforms.picture()(photo, np.random.default_rng(0))
    if not isinstance(seen, np.ndarray) or seen.dtype != np.uint8 or seen.ndim != 3:
        return None
    if seen.shape[2] not in CHANNELS and seen.shape[0] in CHANNELS:
        seen = np.ascontiguousarray(seen.transpose(1, 2, 0))
    return to_channels(seen, 3) if seen.shape[2] in CHANNELS else None


def find(transforms: Compose, height: int, width: int) -> Optional[SeenArea]:
    """Return the area that transforms take of a photo of this size; None where they do more than resize, crop and pad.

    It is exact to about a thousandth of the photo's side.
    """
    across, down = (np.rint(np.linspace(0, _WHITE, size)).astype(np.uint8) for size in (width, height))
    planes = []
    for levels in (across[None, :, None], down[:, None, None], np.array([[[_WHITE]]], np.uint8)):
        try:
            seen = picture(transforms, np.ascontiguousarray(np.broadcast_to(levels, (height, width, 3))))
        except DataError:
            return None
        if seen is None:
            return None
        planes.append(seen[:, :, 0].astype(np.float64))
    inside = planes[2] == _WHITE
    columns = _line(planes[0], inside, width)
    rows = _line(planes[1].T, inside.T, height)
    return None if columns is None or rows is None else SeenArea(columns[0], rows[0], columns[1], rows[1])


def _line(plane: np.ndarray, inside: np.ndarray, size: int) -> Optional[Tuple[float, float]]:
    """Return where the first column begins and the last one ends in the photo; None unless they are evenly spaced.

    Args:
        plane: grey levels that grow with the column of the photo, [h, w].
        inside: the pixels that show the photo, [h, w].
        size: of the photo, in pixels.
    """
    counts = inside.sum(0)
    columns = np.flatnonzero(counts)
    if size < 2 or len(columns) < 2:
        return None
    levels = np.where(inside, plane, 0).sum(0)[columns] / counts[columns]
    slope, offset = np.polyfit(columns, levels, 1)
    spread = np.where(inside, np.abs(plane - (slope * np.arange(plane.shape[1]) + offset)), 0).max()
    if slope <= 0 or spread > _FIT + _WHITE / size:
        return None
    pixel = (size - 1) / _WHITE  # per grey level
    first = offset * pixel + 0.5  # the centre of column 0; that of the photo's first pixel is 0.5
    step = slope * pixel
    return first - step / 2, first + (plane.shape[1] - 0.5) * step


def on_photo(heat: np.ndarray, area: SeenArea, height: int, width: int) -> np.ndarray:
    """Return heat [h, w] of a model's picture on the photo, [height, width] float32; 0 outside of the seen area."""
    scale_x, scale_y = heat.shape[1] / (area.right - area.left), heat.shape[0] / (area.bottom - area.top)
    # Pixel centres: photo x + 0.5 is at heat u + 0.5.
    to_heat = np.array(
        [
            [scale_x, 0, (0.5 - area.left) * scale_x - 0.5],
            [0, scale_y, (0.5 - area.top) * scale_y - 0.5],
        ]
    )
    flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
    warped = cv2.warpAffine(heat.astype(np.float32), to_heat, (width, height), flags=flags, borderMode=border)
    result = np.zeros((height, width), np.float32)
    left, right = (min(width, max(0, round(x))) for x in (area.left, area.right))
    top, bottom = (min(height, max(0, round(y))) for y in (area.top, area.bottom))
    result[top:bottom, left:right] = warped[top:bottom, left:right]
    return result
