"""The gradient of depthwise convolutions by their weights.

One entry of it, of one image and channel, is the sum of the result's gradient times the map, moved by a few pixels:
the map's convolution with that gradient as a filter. So oneDNN's forward kernel for depthwise convolutions computes
it. Its backward kernel takes up to twice as long for 3x3 filters, and far longer for wider ones.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle

from ppcls.arch.ops import onednn
from ppcls.arch.ops.memory import empty
from ppcls.arch.ops.onednn import DST, FLOAT_BYTES, SRC, WEIGHTS, Layout, channels_last, dims
from ppcls.arch.ops.parts import Maps, Part, row_bands, sum_of_parts

_PAGE = 4096  # bytes; pixels that far apart in memory share few lines of the cache, so such maps are copied first


def depthwise_weight_gradient(x: int, dy: int, shape: Sequence[int], kernel: int, padding: int) -> paddle.Tensor:
    """Return the gradient by the weight of a depthwise convolution of stride 1, [C, 1, k, k].

    Args:
        x: address of the map, contiguous and in float32.
        dy: address of the gradient of the convolution, [B, H + 2 padding - k + 1, W + 2 padding - k + 1, C], likewise.
        shape: of the map, [B, H, W, C].
        kernel: k.
        padding: rows and columns of zeros on each side of the map.
    """
    batch, height, width, channels = shape
    grown = 2 * padding - kernel + 1  # how many more rows and columns the gradient has
    steps = ((height + n) * (width + n) * channels * FLOAT_BYTES for n in (0, grown))
    parts = _parts(height, width, channels, kernel, padding)
    total = sum_of_parts(parts, batch, Maps(x, dy, *steps), kernel**2 * channels)
    dweight = empty([channels, 1, kernel, kernel])
    _channels_first(channels, kernel)(total.data_ptr(), dweight.data_ptr())
    return dweight


@onednn.cached
def _parts(height: int, width: int, channels: int, kernel: int, padding: int) -> List[Part]:
    """Return the parts of an image."""
    columns, pixel = width + 2 * padding - kernel + 1, channels * FLOAT_BYTES
    parts = []
    for band in row_bands(height, width, kernel, 1, padding):
        sizes = (band.x_end - band.x_first, width), (band.end - band.first, columns)
        gradient = _band_gradient(_BandShape(*sizes, channels, padding, band.above, band.below))
        parts.append(Part(gradient, band.x_first * width * pixel, band.first * columns * pixel))
    return parts


class _BandShape(NamedTuple):
    """Rows and columns of the map and of the gradient, and the zeros around the map."""

    x: Tuple[int, int]
    dy: Tuple[int, int]
    channels: int
    beside: int
    above: int
    below: int

    @property
    def result(self) -> Tuple[int, int]:
        """Return rows and columns of the weight."""
        return (self.x[0] + self.above + self.below - self.dy[0] + 1, self.x[1] + 2 * self.beside - self.dy[1] + 1)


class _BandGradient:
    """What writes a band's gradient as [k, k, C]."""

    def __init__(self, shape: _BandShape) -> None:
        channels = shape.channels
        maps = [channels_last((1, *size, channels)) for size in (shape.x, shape.result)]
        if channels * FLOAT_BYTES >= _PAGE:
            wanted = [Layout((1, channels, *size), any_layout=True) for size in (shape.x, shape.result)]
        else:
            wanted = maps
        kernel = Layout((channels, 1, 1, *shape.dy), any_layout=True)
        zeros = dims(shape.above, shape.beside), dims(shape.below, shape.beside)
        geometry = (dims(1, 1), dims(0, 0), *zeros)
        arguments = (onednn.FORWARD_TRAINING, onednn.CONVOLUTION_DIRECT, wanted[0], kernel, None, wanted[1])
        descriptor = onednn.Descriptor("convolution_forward", *arguments, *geometry)
        chosen = {index: descriptor.chosen_layout(index) for index in (SRC, WEIGHTS, DST)}
        self._primitive = onednn.Primitive(descriptor, chosen)
        dy = Layout((channels, 1, 1, *shape.dy), (1, 1, 1, shape.dy[1] * channels, channels))
        self._x = _copy_unless_same(maps[0], chosen[SRC])
        self._dy = _copy_unless_same(dy, chosen[WEIGHTS])
        self._result = onednn.buffer(chosen[DST].size)
        self._result_address = self._result.ctypes.data
        self._write = None if wanted is maps else onednn.reorder(chosen[DST], maps[1])

    def __call__(self, x: int, dy: int, dweight: int) -> None:
        """Compute; the arguments are addresses."""
        x, dy = self._x(x) if self._x else x, self._dy(dy) if self._dy else dy
        result = self._result_address if self._write else dweight
        self._primitive(x, dy, result)
        if self._write:
            self._write(result, dweight)


@onednn.cached
def _band_gradient(shape: _BandShape) -> _BandGradient:
    """Return what computes a band; most bands of an image have one shape."""
    return _BandGradient(shape)


class _Copy:
    """A copy in another layout, in memory of its own that the next copy overwrites."""

    def __init__(self, source: Layout, wanted: Layout) -> None:
        self._reorder = onednn.reorder(source, wanted)
        self.memory = onednn.buffer(wanted.size)
        self._address = self.memory.ctypes.data

    def __call__(self, address: int) -> int:
        """Copy, and return the copy's address."""
        self._reorder(address, self._address)
        return self._address


def _copy_unless_same(source: Layout, wanted: Layout) -> Optional[_Copy]:
    """Return what copies dense memory into another layout, or None if both layouts order the elements alike.

    The library's layouts in blocks do not tell; a copy does.
    """
    copy = _Copy(source, wanted)
    numbers = np.random.default_rng(0).random(source.size // FLOAT_BYTES, np.float32)
    copy(numbers.ctypes.data)
    return None if np.array_equal(copy.memory, numbers.view(np.uint8)) else copy


@onednn.cached
def _channels_first(channels: int, kernel: int) -> onednn.Primitive:
    """Return what puts [k, k, C] into the order [C, k, k]."""
    shape = (channels, kernel, kernel)
    return onednn.reorder(Layout(shape, (1, kernel * channels, channels)), Layout(shape))
