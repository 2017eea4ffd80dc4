"""What the layers of a model look for: its first filters, and gMLP's projections over the positions, as pictures."""

from __future__ import annotations

import math
import re
from typing import Any, List, Optional, Sequence

import numpy as np

from ppcls.errors import ConfigError
from ppcls.utils.opencv import cv2

_MAX_FILTERS = 256
_FILTER_SIDE, _MAP_SIDE = 40, 56  # pixels at least; small ones are enlarged by a whole number
_GAP, _LABEL_WIDTH = 4, 72  # pixels
_POSITIVE, _NEGATIVE = (178, 24, 43), (33, 102, 172)  # of projections; 0 is white


def first_filters(model: Any) -> np.ndarray:
    """Return the filters of the first convolution as one picture [H, W, 3] uint8, the largest first.

    Zero is grey, and each filter is scaled by its largest weight. Of more than 256 those with the largest weights are
    shown; of more than three channels the first three.

    Raises:
        ConfigError: the model has no convolution of the image's channels that is known.
    """
    name = getattr(model, "first_conv", "")
    weights = model.state_dict().get(name) if name else None
    if weights is None:
        raise ConfigError(f"{type(model).__name__}: which layer is its first convolution is not known (first_conv)")
    filters = np.asarray(weights, np.float32)
    order = np.argsort(-np.square(filters).sum(axis=(1, 2, 3)), kind="stable")[:_MAX_FILTERS]
    filters = filters[order][:, :3].transpose(0, 2, 3, 1)
    if filters.shape[3] != 3:
        filters = filters[..., :1].repeat(3, 3)
    largest = np.maximum(np.abs(filters).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    cells = np.rint(127.5 * (1 + filters / largest)).astype(np.uint8)
    return _tiled([_enlarged(cell, _FILTER_SIDE) for cell in cells], math.ceil(math.sqrt(1.6 * len(cells))))


def spatial_projections(model: Any) -> Optional[np.ndarray]:
    """Return gMLP's projections over the positions as one picture [H, W, 3] uint8; None for other families.

    One row per block, from the first; each of its nine maps shows from where in the picture one position gets its
    values, as in figure 5 of https://arxiv.org/abs/2105.08050. Red is positive, blue negative, scaled by the block's
    largest weight; a frame marks the position itself.
    """
    pattern, grid = getattr(model, "spatial_layers", ""), getattr(model, "grid", None)
    if not pattern or grid is None:
        return None
    state = model.state_dict()
    names = [name for name in state if re.fullmatch(rf"{pattern}\.weight", name)]
    rows = []
    for number, name in enumerate(names, 1):
        weights = np.asarray(state[name], np.float32)  # [positions in, positions out]
        scaled = weights / max(float(np.abs(weights).max()), 1e-12)
        maps = [_projection(scaled[:, row * grid[1] + column], row, column, grid) for row, column in _spread(grid)]
        rows.append(np.concatenate([_label(f"block {number}", maps[0].shape[0]), _tiled(maps, len(maps))], axis=1))
    return np.concatenate(rows)


def _spread(grid: Sequence[int]) -> List[Sequence[int]]:
    """Return nine positions that are spread over the grid."""
    rows, columns = ([int(size * part) for part in (1 / 6, 1 / 2, 5 / 6)] for size in grid)
    return [(row, column) for row in rows for column in columns]


def _projection(weights: np.ndarray, row: int, column: int, grid: Sequence[int]) -> np.ndarray:
    """Return one position's weights [positions] from -1 to 1 as a map."""
    values = weights.reshape(*grid, 1)
    colors = np.where(values > 0, np.array(_POSITIVE, np.float32), np.array(_NEGATIVE, np.float32))
    picture = np.rint(255 + (colors - 255) * np.abs(values)).astype(np.uint8)
    large = _enlarged(picture, _MAP_SIDE)
    scale = large.shape[0] // grid[0]
    corner = (column * scale, row * scale)
    cv2.rectangle(large, corner, (corner[0] + scale - 1, corner[1] + scale - 1), (0, 0, 0), 1)
    return large


def _label(text: str, height: int) -> np.ndarray:
    picture = np.full((height + 2 * _GAP, _LABEL_WIDTH, 3), 255, np.uint8)
    place = (_GAP, height // 2 + 2 * _GAP)
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def _enlarged(picture: np.ndarray, side: int) -> np.ndarray:
    scale = max(1, -(-side // min(picture.shape[:2])))
    return np.ascontiguousarray(picture.repeat(scale, 0).repeat(scale, 1))


def _tiled(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Return pictures of one size side by side on white."""
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // columns)
    sheet = np.full((rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = _GAP + number // columns * (height + _GAP), _GAP + number % columns * (width + _GAP)
        sheet[top : top + height, left : left + width] = picture
    return sheet
