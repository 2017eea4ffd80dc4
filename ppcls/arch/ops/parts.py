"""Gradients by weights as sums of parts: of some images, or of some rows of an image.

Each part is summed on its own, and the sums are added up. Rounding errors grow with the length of a sum, and the maps
of a small part stay in the cache.
"""

from __future__ import annotations

from typing import Callable, List, NamedTuple, Sequence

import paddle

from ppcls.arch.ops.memory import empty
from ppcls.arch.ops.onednn import FLOAT_BYTES
from ppcls.arch.ops.products import TERMS, column_sums


class Part(NamedTuple):
    """What writes a part's gradient, called with the addresses of x, dy and the result; the offsets are in bytes."""

    gradient: Callable[[int, int, int], None]
    x_offset: int = 0
    dy_offset: int = 0


class Maps(NamedTuple):
    """The addresses of a map and of a convolution's gradient, and how many bytes further the next images are."""

    x: int
    dy: int
    x_step: int
    dy_step: int


def sum_of_parts(parts: Sequence[Part], count: int, maps: Maps, size: int) -> paddle.Tensor:
    """Return the sum of the gradients of all parts of ``count`` images, or groups of images, [size]."""
    sums = empty([count * len(parts), size])
    address = sums.data_ptr()
    for index in range(count):
        x, dy = maps.x + index * maps.x_step, maps.dy + index * maps.dy_step
        for part in parts:
            part.gradient(x + part.x_offset, dy + part.dy_offset, address)
            address += size * FLOAT_BYTES
    return column_sums(sums, size) if len(sums) > 1 else sums.reshape([size])


class Band(NamedTuple):
    """The rows [first, end) of a convolution's result, and the rows [x_first, x_end) of the map that they depend on.

    ``above`` and ``below`` are the rows of zeros that they depend on, too.
    """

    first: int
    end: int
    x_first: int
    x_end: int
    above: int
    below: int


def row_bands(height: int, width: int, kernel: int, stride: int, padding: int, least_rows: int = 1) -> List[Band]:
    """Return bands of a convolution's result of about ``TERMS`` positions each, without those that only zeros reach.

    Args:
        height: of the map.
        width: likewise.
        kernel: rows and columns of the filter.
        stride: of the filter.
        padding: rows and columns of zeros on each side of the map.
        least_rows: of a band, even if they have more positions.
    """
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
    count = -(-rows // max(least_rows, TERMS // columns))
    bands = []
    for i in range(count):
        first, end = i * rows // count, (i + 1) * rows // count
        top, bottom = first * stride - padding, (end - 1) * stride + kernel - padding  # some of them outside
        x_first, x_end = max(0, top), min(height, bottom)
        if x_first < x_end:
            bands.append(Band(first, end, x_first, x_end, x_first - top, bottom - x_end))
    return bands
