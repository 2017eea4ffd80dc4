"""Matrix products of tensors in float32 memory, or of copies rounded to bfloat16, with sums in float32."""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional, Tuple, Union

import numpy as np
import paddle

from ppcls.arch.ops import onednn
from ppcls.arch.ops.memory import elements, empty, empty_array
from ppcls.arch.ops.onednn import BFLOAT16, BIAS, DST, FLOAT32, FLOAT_BYTES, SRC, WEIGHTS, Layout

Strides = Tuple[int, ...]

# Terms of a sum that are added up one after another. Longer sums are made of parts: rounding errors then grow with the
# length of a part, not with that of the sum. Measured: no slower, and errors like those of Paddle's own products.
TERMS = 256


class Rounded:
    """A copy of a tensor in bfloat16, in memory that primitives read."""

    def __init__(self, x: paddle.Tensor) -> None:
        self._array = empty_array(x.shape, np.uint16)
        _rounding(elements(x))(x.data_ptr(), self.data_ptr())

    def data_ptr(self) -> int:
        """Return the address of the memory, as a tensor does."""
        return int(self._array.ctypes.data)


Operand = Union[paddle.Tensor, Rounded]


def operand(x: paddle.Tensor, half: bool) -> Operand:
    """Return what a product reads: ``x``, contiguous, or its copy in bfloat16."""
    return Rounded(x) if half else x


class Matmul(NamedTuple):
    """A product C = A B (+ bias), called with the addresses of A [m, k], B [k, n], C [m, n] and the bias.

    Attributes:
        a_strides: of A's memory in elements; with a ``batch``, also of its matrices (0: the same one for all).
        b_strides: likewise of B.
        half: A and B are in bfloat16. C is in float32.
        bias: the shape of what is added, each size 1 or that of C.
        batch: the number of products, as a tuple of one; () for a single product.
        c_strides: likewise of C; None if it is contiguous.
        accumulates: add the product to C.
    """

    m: int
    k: int
    n: int
    a_strides: Strides
    b_strides: Strides
    half: bool = False
    bias: Optional[Tuple[int, ...]] = None
    batch: Tuple[int, ...] = ()
    c_strides: Optional[Strides] = None
    accumulates: bool = False

    def __call__(self, a: int, b: int, c: int, *bias: int) -> None:
        """Compute."""
        first, *others = _parts(self)
        first.primitive(a, b, c, *bias)
        for part in others:
            part.primitive(a + part.a_offset, b + part.b_offset, c)


class _Part(NamedTuple):
    """The product of some of A's columns and the same of B's rows; the offsets are in bytes."""

    primitive: onednn.Primitive
    a_offset: int
    b_offset: int


@onednn.cached
def _parts(product: Matmul) -> List[_Part]:
    # A vector times a matrix is already summed in several accumulators.
    whole = product.half or 1 in (product.m, product.n)
    size = product.k if whole else -(-product.k // -(-product.k // TERMS))
    parts = []
    for start in range(0, product.k, size):
        part = product._replace(k=min(size, product.k - start))
        if start:
            part = part._replace(bias=None, accumulates=True)
        offsets = (start * strides * FLOAT_BYTES for strides in (product.a_strides[-1], product.b_strides[-2]))
        parts.append(_Part(_primitive(part), *offsets))
    return parts


def _primitive(product: Matmul) -> onednn.Primitive:
    dtype = BFLOAT16 if product.half else FLOAT32
    layouts: Dict[int, Optional[Layout]] = {
        SRC: _matrices((product.m, product.k), product.a_strides, dtype, product.batch),
        WEIGHTS: _matrices((product.k, product.n), product.b_strides, dtype, product.batch),
        DST: Layout((*product.batch, product.m, product.n), product.c_strides),
    }
    if product.bias:
        layouts[BIAS] = Layout(product.bias)
    arguments = (layouts[SRC], layouts[WEIGHTS], layouts.get(BIAS), layouts[DST])
    descriptor = onednn.Descriptor("matmul", *arguments, accumulates=product.accumulates)
    return onednn.Primitive(descriptor, layouts)


def _matrices(shape: Tuple[int, int], strides: Strides, dtype: int, batch: Tuple[int, ...]) -> Layout:
    *outer, row, column = strides
    if shape[0] == 1 and column == 1:
        row = shape[1]  # oneDNN 3.6 reads other memory where the only row seems to be shorter than it is
    if not batch:
        return Layout(shape, (row, column), dtype)
    if outer[0]:
        return Layout((*batch, *shape), (*outer, row, column), dtype)
    return Layout((1, *shape), (shape[0] * shape[1], row, column), dtype)  # broadcast over the batch


def column_sums(x: paddle.Tensor, columns: int) -> paddle.Tensor:
    """Return the sums [columns] over the rows of x [..., columns]: as a product, ten times as fast as Paddle's sum."""
    total = empty([columns])
    write_column_sums(x.data_ptr(), elements(x) // columns, columns, total.data_ptr())
    return total


def write_column_sums(x: int, rows: int, columns: int, total: int) -> None:
    """Write the sums over the rows of a matrix; ``x`` and ``total`` are addresses."""
    Matmul(1, rows, columns, (rows, 1), (columns, 1))(ones(rows).data_ptr(), x, total)


@onednn.cached
def ones(size: int) -> paddle.Tensor:
    """Return a vector of ones."""
    return paddle.ones([size], "float32")


@onednn.cached
def _rounding(size: int) -> onednn.Primitive:
    return onednn.reorder(Layout((size,)), Layout((size,), dtype=BFLOAT16))
