"""The gradient of depthwise convolutions by their weights, for kernels wider than three.

oneDNN is fast where the kernel is at most three columns wide; with a wider one it takes 3 to 10 times as long for each
column. So a wide kernel's gradient is computed three columns at a time. Each time the same two padded copies are read,
the map's from as many pixels further to the right as there are columns before these three.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import paddle

from ppcls.arch.ops import onednn
from ppcls.arch.ops.onednn import DIFF_DST, DIFF_WEIGHTS, FLOAT_BYTES, SRC, Layout, channels_last, dims

Shape = Tuple[int, ...]
_COLUMNS = 3


def is_fast_directly(kernel_size: int, padding: int) -> bool:
    """Return whether oneDNN's own kernel is fast, or the only one for this padding."""
    return kernel_size <= _COLUMNS or padding != kernel_size // 2 or kernel_size % 2 == 0


@onednn.cached
def depthwise_weight_gradient(shape: Shape, kernel_size: int) -> Callable[[int, int, int], None]:
    """Return what writes the gradient by the weight of a depthwise convolution that keeps the map's size.

    It is called with the addresses of contiguous float32 memory: of the map, of the result's gradient, and of the
    weight's gradient [C, 1, k, k].

    Args:
        shape: of the map and its gradient, [B, H, W, C].
        kernel_size: k, odd and above three.
    """
    return _ColumnGroups(shape, kernel_size)


class _ColumnGroups:
    """Gradients of three columns at a time.

    Both maps are copied into rows of W + 2r pixels, r = k // 2: the map behind r zeros, the gradient behind one. With
    the map read from pixel j on, a convolution of three columns finds for each of the gradient's pixels the map's
    pixels under the columns j, j + 1 and j + 2. It also reads across the ends of rows, where the gradient is zero.
    """

    def __init__(self, shape: Shape, kernel_size: int) -> None:
        batch, height, width, channels = shape
        reach = kernel_size // 2
        padded = (batch, height, width + 2 * reach, channels)
        self._pixel = channels * FLOAT_BYTES
        self._x_offset, self._dy_offset = reach * self._pixel, self._pixel
        size = batch * height * padded[2] * channels
        # The copies never write to the zeros between the rows, so they stay.
        self._x = paddle.zeros([size + 2 * reach * channels])
        self._dy = paddle.zeros([size])
        row = (height * padded[2] * channels, 1, padded[2] * channels, channels)
        self._copy = onednn.reorder(channels_last(shape), Layout((batch, channels, height, width), row))
        self._first_columns = [*range(0, kernel_size - _COLUMNS, _COLUMNS), kernel_size - _COLUMNS]
        descriptor, layouts = _gradient_of_columns(padded, kernel_size)
        self._gradient = onednn.Primitive(descriptor, layouts)
        chosen = descriptor.chosen_layout(DIFF_WEIGHTS)
        self._result = onednn.buffer(chosen.size)
        self._result_address = self._result.ctypes.data
        area = kernel_size**2
        columns = Layout((channels, 1, 1, kernel_size, _COLUMNS), (area, area, area, kernel_size, 1))
        self._write = onednn.reorder(chosen, columns)

    def __call__(self, x: int, dy: int, dweight: int) -> None:
        """Write the gradient; the arguments are addresses."""
        x_copy, dy_copy = self._x.data_ptr(), self._dy.data_ptr()
        self._copy(x, x_copy + self._x_offset)
        self._copy(dy, dy_copy + self._dy_offset)
        for column in self._first_columns:
            self._gradient(x_copy + column * self._pixel, dy_copy, self._result_address)
            self._write(self._result_address, dweight + column * FLOAT_BYTES)


def _gradient_of_columns(padded: Shape, kernel_size: int) -> Tuple[onednn.Descriptor, Dict[int, Optional[Layout]]]:
    """Return what finds the gradient by a weight of k rows and three columns, and the layouts of x, dy and dweight."""
    layout = channels_last(padded)
    weight = Layout((padded[-1], 1, 1, kernel_size, _COLUMNS), any_layout=True)
    padding = dims(kernel_size // 2, _COLUMNS // 2)
    geometry: List[Any] = [dims(1, 1), dims(0, 0), padding, padding]
    direct = onednn.CONVOLUTION_DIRECT
    maps = (layout, weight, None, layout)
    forward = onednn.Descriptor("convolution_forward", onednn.FORWARD_TRAINING, direct, *maps, *geometry)
    descriptor = onednn.Descriptor("convolution_backward_weights", direct, *maps, *geometry, forward)
    return descriptor, {SRC: layout, DIFF_DST: layout, DIFF_WEIGHTS: None}
