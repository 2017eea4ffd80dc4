"""Convolutions of channels-last maps, dense and depthwise."""

from __future__ import annotations

import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import paddle
import paddle.nn.functional as F
from paddle.autograd import PyLayer

from ppcls.arch.ops import onednn
from ppcls.arch.ops.depthwise_gradient import depthwise_weight_gradient
from ppcls.arch.ops.dispatch import contiguous, in_bfloat16, uses_onednn
from ppcls.arch.ops.gradients import Edges, Kept
from ppcls.arch.ops.memory import as_array, empty
from ppcls.arch.ops.onednn import (
    BFLOAT16,
    BFLOAT16_BYTES,
    BIAS,
    DIFF_DST,
    DIFF_SRC,
    DIFF_WEIGHTS,
    DST,
    FLOAT32,
    FLOAT_BYTES,
    SRC,
    WEIGHTS,
    Layout,
    channels_last,
    dims,
)
from ppcls.arch.ops.parts import Maps, Part, row_bands, sum_of_parts
from ppcls.arch.ops.products import TERMS, Matmul, Operand, column_sums, operand


class ConvShape(NamedTuple):
    """What a convolution's primitives depend on."""

    x: Tuple[int, ...]  # [B, H, W, C]
    weight: Tuple[int, ...]  # [C', C / groups, k, k]
    stride: int
    padding: int
    groups: int
    bias: bool
    half: bool
    zero_rows: Optional[Tuple[int, int]] = None  # of a band: above and below, where they are not ``padding``

    @classmethod
    def of(
        cls,
        x: paddle.Tensor,
        weight: paddle.Tensor,
        bias: Optional[paddle.Tensor],
        stride: int,
        padding: int,
        groups: int,
    ) -> ConvShape:
        """Return what the primitives of ``conv2d_nhwc`` depend on."""
        half = in_bfloat16() and groups == 1
        return cls(tuple(x.shape), tuple(weight.shape), stride, padding, groups, bias is not None, half)

    @property
    def paddings(self) -> Tuple[Tuple[int, int], Tuple[int, int]]:
        """Return the zeros above and left of a map, and those below and right of it."""
        above, below = self.zero_rows or (self.padding, self.padding)
        return (above, self.padding), (below, self.padding)

    @property
    def y(self) -> Tuple[int, ...]:
        """Return the shape of the result, [B, H', W', C']."""
        sizes = (sum(of_axis) for of_axis in zip(self.x[1:3], *self.paddings))
        height, width = ((size - self.weight[-1]) // self.stride + 1 for size in sizes)
        return (self.x[0], height, width, self.weight[0])

    @property
    def element(self) -> int:
        """Return the bytes of one element of the maps that are read."""
        return BFLOAT16_BYTES if self.half else FLOAT_BYTES

    @property
    def is_pointwise(self) -> bool:
        """Return whether it is a product of matrices."""
        return self.weight[2:] == (1, 1) and (self.stride, self.padding, self.groups) == (1, 0, 1)

    @property
    def is_depthwise(self) -> bool:
        """Return whether each channel has its own filter, and the filters move by one pixel."""
        return 1 < self.groups == self.x[-1] == self.weight[0] and self.stride == 1  # one channel is dense, too

    @property
    def is_valid(self) -> bool:
        """Return whether the sizes go together; the kernels would read other memory."""
        return (
            len(self.x) == len(self.weight) == 4
            and self.weight[2] == self.weight[3] <= min(self.x[1:3]) + 2 * self.padding
            and self.x[3] == self.weight[1] * self.groups
            and self.weight[0] % self.groups == 0
            and self.stride > 0
            and self.padding >= 0
        )


def conv2d_nhwc(
    x: paddle.Tensor,
    weight: paddle.Tensor,
    bias: Optional[paddle.Tensor] = None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> paddle.Tensor:
    """Return the convolution of a channels-last map, [B, H, W, C] -> [B, H', W', C'].

    Args:
        weight: [C', C / groups, k, k].
        bias: [C'].
    """
    shape = ConvShape.of(x, weight, bias, stride, padding, groups)
    if not fits(shape, x, weight, bias):
        return _plain(x, weight, bias, stride=stride, padding=padding, groups=groups)
    return _Conv.apply(contiguous(x), contiguous(weight), None if bias is None else contiguous(bias), shape)


def fits(shape: ConvShape, x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor]) -> bool:
    """Return whether the CPU kernels compute the convolution."""
    return uses_onednn(x, weight, bias) and shape.is_valid and (bias is None or bias.shape == weight.shape[:1])


def _plain(
    x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor], stride: int, padding: int, groups: int
) -> paddle.Tensor:
    y = F.conv2d(x.transpose([0, 3, 1, 2]), weight, bias, stride=stride, padding=padding, groups=groups)
    return y.transpose([0, 2, 3, 1])


class _Conv(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, shape: ConvShape) -> Any:
        y, x_read = forward(x, weight, bias, shape)
        ctx.kept, ctx.edges, ctx.shape = Kept(x_read, weight), Edges(x, weight, bias), shape
        return y

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        x_read, weight = ctx.kept.get()
        gradients = backward(ctx.shape, x_read, weight, contiguous(dy), ctx.edges.wanted())
        return gradients if ctx.shape.bias else gradients[:2]


def forward(
    x: paddle.Tensor, weight: paddle.Tensor, bias: Optional[paddle.Tensor], shape: ConvShape
) -> Tuple[paddle.Tensor, Operand]:
    """Return the convolution, and the map as ``backward`` reads it."""
    y, x_read = empty(shape.y), operand(x, shape.half)
    addresses = [x_read.data_ptr(), y.data_ptr(), *([] if bias is None else [bias.data_ptr()])]
    _forward(shape)(weight.data_ptr(), *addresses)
    return y, x_read


def backward(
    shape: ConvShape, x: Operand, weight: paddle.Tensor, dy: paddle.Tensor, wanted: Sequence[bool]
) -> Tuple[Optional[paddle.Tensor], ...]:
    """Return the gradients by x, weight and bias, None for those that are not wanted."""
    x_wanted, weight_wanted, bias_wanted = wanted
    dy_read = operand(dy, shape.half)
    dx = dweight = None
    if x_wanted:
        dx = _input_gradient(shape, weight, dy_read)
    if weight_wanted:
        dweight = _weight_gradient(shape, x, dy_read)
    return dx, dweight, column_sums(dy, shape.weight[0]) if bias_wanted else None


def _input_gradient(shape: ConvShape, weight: paddle.Tensor, dy: Operand) -> paddle.Tensor:
    dx, back = empty(shape.x), shape.weight[-1] - 1 - shape.padding
    if shape.is_depthwise and back >= 0:  # as a convolution of dy: up to 1.6 times as fast
        flipped = np.ascontiguousarray(as_array(weight)[..., ::-1, ::-1])
        convolution = shape._replace(x=shape.y, padding=back, bias=False)
        _forward(convolution)(flipped.ctypes.data, dy.data_ptr(), dx.data_ptr())
    else:
        _by_input(shape)(weight.data_ptr(), dy.data_ptr(), dx.data_ptr())
    return dx


def _weight_gradient(shape: ConvShape, x: Operand, dy: Operand) -> paddle.Tensor:
    if shape.is_pointwise:
        return _pointwise_weight_gradient(shape, x, dy)
    if shape.is_depthwise:
        return depthwise_weight_gradient(x.data_ptr(), dy.data_ptr(), shape.x, shape.weight[-1], shape.padding)
    images, parts = _parts(shape)
    steps = (images * math.prod(sizes[1:]) * shape.element for sizes in (shape.x, shape.y))
    maps = Maps(x.data_ptr(), dy.data_ptr(), *steps)
    return sum_of_parts(parts, shape.x[0] // images, maps, math.prod(shape.weight)).reshape(shape.weight)


_LEAST_ROWS = 4  # a call for fewer costs more than it computes


@onednn.cached
def _parts(shape: ConvShape) -> Tuple[int, List[Part]]:
    """Return how many images are summed over at a time, and the parts of these images."""
    batch, positions = shape.x[0], math.prod(shape.y[1:3])
    # Not with stride 1, where oneDNN's own sums are as good and faster, nor of rounded maps, whose sums matter less.
    if positions > TERMS and shape.stride > 1 and not shape.half:
        bands = _bands(shape)
        if bands:  # none, if the filter meets but zeros
            return 1, bands
    images = max(1, min(batch, TERMS // positions))
    images = next(n for n in range(images, 0, -1) if batch % n == 0)
    return images, [Part(_by_weight(shape._replace(x=(images, *shape.x[1:]))))]


def _bands(shape: ConvShape) -> List[Part]:
    """Return the parts of an image."""
    _, height, width, channels = shape.x
    x_row, dy_row = (math.prod(sizes[2:]) * shape.element for sizes in (shape.x, shape.y))
    parts = []
    for band in row_bands(height, width, shape.weight[-1], shape.stride, shape.padding, _LEAST_ROWS):
        rows = (1, band.x_end - band.x_first, width, channels)
        gradient = _by_weight(shape._replace(x=rows, zero_rows=(band.above, band.below)))
        parts.append(Part(gradient, band.x_first * x_row, band.first * dy_row))
    return parts


def _pointwise_weight_gradient(shape: ConvShape, x: Operand, dy: Operand) -> paddle.Tensor:
    outer, inner = shape.weight[:2]
    dweight = empty(shape.weight)
    product = Matmul(outer, math.prod(shape.x[:3]), inner, (1, outer), (inner, 1), shape.half)
    product(dy.data_ptr(), x.data_ptr(), dweight.data_ptr())
    return dweight


class _WithWeight:
    """A primitive whose weight is first put into the layout and data type that the primitive chose."""

    def __init__(self, descriptor: onednn.Descriptor, layouts: Dict[int, Optional[Layout]], shape: ConvShape) -> None:
        chosen = descriptor.chosen_layout(WEIGHTS)
        self._reorder = onednn.reorder(_weight_layout(shape), chosen)
        self._weight = onednn.buffer(chosen.size)
        self._address = self._weight.ctypes.data
        self._primitive = onednn.Primitive(descriptor, layouts)

    def __call__(self, weight: int, *addresses: int) -> None:
        """Compute with the weight at an address; ``addresses`` are those of the primitive's other arguments."""
        self._reorder(weight, self._address)
        self._primitive(self._address, *addresses)


class _WeightGradient:
    """A primitive whose result is put into the layout of Paddle's weights."""

    def __init__(self, descriptor: onednn.Descriptor, layouts: Dict[int, Optional[Layout]], shape: ConvShape) -> None:
        chosen = descriptor.chosen_layout(DIFF_WEIGHTS)
        self._reorder = onednn.reorder(chosen, _weight_layout(shape))
        self._gradient = onednn.buffer(chosen.size)
        self._primitive = onednn.Primitive(descriptor, layouts)

    def __call__(self, x: int, dy: int, dweight: int) -> None:
        """Write the gradient by the weight; the arguments are addresses."""
        self._primitive(x, dy, self._gradient.ctypes.data)
        self._reorder(self._gradient.ctypes.data, dweight)


@onednn.cached
def _forward(shape: ConvShape) -> _WithWeight:
    """Return what computes y at the addresses (weight, x, y, bias)."""
    layouts = {WEIGHTS: None, SRC: _map(shape.x, shape), DST: channels_last(shape.y)}
    if shape.bias:
        layouts[BIAS] = Layout(shape.weight[:1])
    return _WithWeight(_forward_descriptor(shape), layouts, shape)


@onednn.cached
def _by_input(shape: ConvShape) -> _WithWeight:
    """Return what computes dx at the addresses (weight, dy, dx)."""
    dx, dy = channels_last(shape.x), _map(shape.y, shape)
    descriptor = onednn.Descriptor(
        "convolution_backward_data",
        onednn.CONVOLUTION_DIRECT,
        dx,
        _any_weight(shape),
        dy,
        *_geometry(shape),
        _forward_descriptor(shape),
    )
    return _WithWeight(descriptor, {WEIGHTS: None, DIFF_DST: dy, DIFF_SRC: dx}, shape)


@onednn.cached
def _by_weight(shape: ConvShape) -> _WeightGradient:
    """Return what computes dweight at the addresses (x, dy, dweight)."""
    x, dy = _map(shape.x, shape), _map(shape.y, shape)
    descriptor = onednn.Descriptor(
        "convolution_backward_weights",
        onednn.CONVOLUTION_DIRECT,
        x,
        _any_weight(shape, FLOAT32),
        None,
        dy,
        *_geometry(shape),
        _forward_descriptor(shape),
    )
    return _WeightGradient(descriptor, {SRC: x, DIFF_DST: dy, DIFF_WEIGHTS: None}, shape)


def _forward_descriptor(shape: ConvShape) -> onednn.Descriptor:
    return onednn.Descriptor(
        "convolution_forward",
        onednn.FORWARD_TRAINING,
        onednn.CONVOLUTION_DIRECT,
        _map(shape.x, shape),
        _any_weight(shape),
        Layout(shape.weight[:1]) if shape.bias else None,
        channels_last(shape.y),
        *_geometry(shape),
        # oneDNN's first choice, brdgmm_dw, takes up to three times as long where pixels are a page of memory apart.
        preferred="jit_dw" if shape.groups > 1 else "",
    )


def _map(shape: Tuple[int, ...], conv: ConvShape) -> Layout:
    return channels_last(shape, BFLOAT16 if conv.half else FLOAT32)


def _any_weight(shape: ConvShape, dtype: Optional[int] = None) -> Layout:
    return Layout(_grouped(shape), dtype=dtype or (BFLOAT16 if shape.half else FLOAT32), any_layout=True)


def _weight_layout(shape: ConvShape) -> Layout:
    return Layout(_grouped(shape))


def _grouped(shape: ConvShape) -> Tuple[int, ...]:
    """Return the weight's shape as the library wants it, with the groups in front."""
    if shape.groups == 1:
        return shape.weight
    return (shape.groups, shape.weight[0] // shape.groups, *shape.weight[1:])


def _geometry(shape: ConvShape) -> Tuple[Any, ...]:
    """Return strides, dilations (0 means none) and paddings before and after."""
    return dims(shape.stride, shape.stride), dims(0, 0), *(dims(*zeros) for zeros in shape.paddings)
