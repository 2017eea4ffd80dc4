"""Heat maps of where in a picture the model looks, by occlusion sensitivity.

No gradients are needed. One patch after the other is covered, and the class's probability is compared with that of the
whole picture (Zeiler and Fergus 2014, section 4.2, https://arxiv.org/abs/1311.2901).
"""

from __future__ import annotations

from typing import Tuple

import numpy as np


def occlude(image: np.ndarray, grid: int, cell: int, channels_last: bool = False) -> np.ndarray:
    """Return the image with a cell of a grid, and half of its neighbours, covered by the image's mean colour.

    Args:
        image: as the model takes it, [C, H, W], or with ``channels_last`` [H, W, C].
        grid: cells per side.
        cell: 0 to grid * grid - 1, row by row.
    """
    covered = image.copy()
    view = covered if channels_last else np.moveaxis(covered, 0, -1)
    row, column = divmod(cell, grid)
    (top, bottom), (left, right) = _span(row, grid, view.shape[0]), _span(column, grid, view.shape[1])
    view[top:bottom, left:right] = view.mean(axis=(0, 1))
    return covered


def _span(index: int, grid: int, size: int) -> Tuple[int, int]:
    """Return the pixels [begin, end) of a cell and half of its neighbours, at least one."""
    begin = int(max(0.0, index - 0.5) * size / grid)
    return begin, max(begin + 1, int(np.ceil(min(float(grid), index + 1.5) * size / grid)))
