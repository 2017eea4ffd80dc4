"""Heat maps by occlusion sensitivity: how far a class's probability falls where a part of the picture is covered.

No gradients are needed, so it works for exported models (Zeiler and Fergus 2014, section 4.2,
https://arxiv.org/abs/1311.2901).
"""

from __future__ import annotations

from typing import Callable, Tuple

import numpy as np

from ppcls.inference import heat_maps

GRID = 7  # cells per side
_ENOUGH = 0.5  # of the probability: a part on which half of it depends decides for the class
Run = Callable[[np.ndarray], np.ndarray]


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


def heat_map(
    run: Run, image: np.ndarray, class_id: int, *, grid: int = GRID, batch_size: int = 32, channels_last: bool = False
) -> np.ndarray:
    """Return where the probability of a class depends on the picture, [H, W] float32 from 0 to 1.

    It costs grid * grid + 3 images. For the scale see ``scaled``.

    Args:
        run: from a batch of preprocessed images to probabilities [B, K].
        image: preprocessed, [C, H, W], or with ``channels_last`` [H, W, C].
        grid: cells per side.
        batch_size: images that go through the model together.
    """
    shuffled = [heat_maps.shuffled(image[None], seed, channels_last)[0] for seed in range(heat_maps.SHUFFLES)]
    whole, *by_chance = run(np.stack([image, *shuffled]))[:, class_id]
    cells = range(grid * grid)
    falls = np.empty(len(cells), np.float32)
    for start in range(0, len(cells), batch_size):
        part = cells[start : start + batch_size]
        covered = np.stack([occlude(image, grid, cell, channels_last) for cell in part])
        falls[start : start + len(part)] = whole - run(covered)[:, class_id]
    size = image.shape[:2] if channels_last else image.shape[1:]
    heat = scaled(falls.reshape(grid, grid), float(whole), float(max(by_chance)))
    return heat_maps.stretched(heat[None], (size[0], size[1]))[0]


def scaled(falls: np.ndarray, whole: float, by_chance: float) -> np.ndarray:
    """Return heat from 0 to 1 of a grid of falls of the probability, [grid, grid] float32; see ``heat_maps.scaled``.

    Half of the probability decides. The map is pale if the same pixels give the probability in random order, too.

    Args:
        whole: the probability of the class for the whole picture.
        by_chance: that for the picture with its pixels in random order.
    """
    return heat_maps.scaled(falls[None], _ENOUGH, np.array([by_chance / max(whole, 1e-6)]))[0]
