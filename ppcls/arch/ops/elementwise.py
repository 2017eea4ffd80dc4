"""Primitives that compute each element on its own: sums, products, copies, activations."""

from __future__ import annotations

import ctypes
from typing import Tuple

import paddle

from ppcls.arch.ops import onednn
from ppcls.arch.ops.memory import elements, empty
from ppcls.arch.ops.onednn import (
    BINARY_ADD,
    DIFF_DST,
    DIFF_SRC,
    DST,
    SRC,
    SRC_1,
    Descriptor,
    Layout,
    Primitive,
    reorder,
)

Shape = Tuple[int, ...]


@onednn.cached
def binary(kind: int, shape: Shape, second: Shape, accumulates: bool = False) -> Primitive:
    """Return a sum or product of each element, called with the addresses of the operands and the result.

    The result may lie in the memory of the first operand.

    Args:
        second: shape of the second operand, with sizes of 1 where it is the same for all.
        accumulates: add to what is in the result's memory.
    """
    x, y = Layout(shape), Layout(second)
    return Primitive(Descriptor("binary", kind, x, y, x, accumulates=accumulates), {SRC: x, SRC_1: y, DST: x})


def add_to(total: paddle.Tensor, x: paddle.Tensor) -> None:
    """Add ``x`` to ``total`` in place; both are contiguous and of one shape."""
    binary(BINARY_ADD, (elements(x),), (elements(x),))(total.data_ptr(), x.data_ptr(), total.data_ptr())


def copy(x: paddle.Tensor) -> paddle.Tensor:
    """Return a copy of a contiguous tensor, in memory of the pool."""
    y = empty(x.shape)
    _copy(elements(x))(x.data_ptr(), y.data_ptr())
    return y


@onednn.cached
def _copy(size: int) -> Primitive:
    return reorder(Layout((size,)), Layout((size,)))


@onednn.cached
def activation(size: int, kind: int) -> Tuple[Primitive, Primitive]:
    """Return forward(x, y) and backward(x, dy, dx) of ``GELU_ERF`` or ``RELU``; dx may lie in the memory of dy."""
    x, zero = Layout((size,)), ctypes.c_float(0)
    arguments = (kind, x, x)
    forward = Descriptor("eltwise_forward", onednn.FORWARD_TRAINING, *arguments, zero, zero)
    backward = Descriptor("eltwise_backward", *arguments, x, zero, zero, forward)
    return Primitive(forward, {SRC: x, DST: x}), Primitive(backward, {SRC: x, DIFF_DST: x, DIFF_SRC: x})
