"""Multiply-adds of a model, counted on its traced graph: functional matrix products are seen too."""

from __future__ import annotations

from math import prod
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import paddle
from paddle import nn

_PRODUCTS = ("matmul", "matmul_v2", "bmm", "mul", "linear")
_CONVOLUTIONS = ("conv2d", "depthwise_conv2d")
Shape = Sequence[int]


class _ForwardWrapper(nn.Layer):
    """Wraps a model for tracing, which replaces the ``forward`` of the layer that is traced."""

    def __init__(self, model: nn.Layer) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Return the model's output."""
        return self.model(images)


def count_macs(model: nn.Layer, image_shape: Tuple[int, int, int]) -> Dict[str, int]:
    """Return the multiply-adds of one image [C, H, W]: "total", and of that "depthwise" convolutions.

    Counted are convolutions and matrix products. Norms, activations, poolings and biases are left out, as is usual.
    """
    training = model.training
    model.eval()
    try:
        spec = [paddle.static.InputSpec([1, *image_shape], "float32")]
        traced: Any = paddle.jit.to_static(_ForwardWrapper(model), input_spec=spec, full_graph=True)
        program = traced.forward.concrete_program.main_program
    finally:
        if training:
            model.train()
    total = depthwise = 0
    for name, inputs, output, transposed in _operations(program):
        if name in _PRODUCTS:
            total += prod(output) * inputs[0][-2 if transposed else -1]
        elif name in _CONVOLUTIONS:
            kernel = next(shape for shape in inputs if len(shape) == 4 and shape[0] == output[1])
            count = prod(output) * prod(kernel[1:])
            total += count
            depthwise += count if kernel[1] == 1 else 0
    return {"total": total, "depthwise": depthwise}


def _operations(program: Any) -> Iterator[Tuple[str, List[Shape], Shape, bool]]:
    """Yield (name, shapes of the inputs, shape of the output, first input transposed) of what is counted."""
    block = program.global_block()
    for op in block.ops:
        if hasattr(op, "operand_source"):  # Paddle 3
            name = op.name().rsplit(".", 1)[-1]
            if name in (*_PRODUCTS, *_CONVOLUTIONS):
                inputs: List[Shape] = [list(op.operand_source(index).shape) for index in range(op.num_operands())]
                yield name, inputs, list(op.results()[0].shape), bool(op.attrs().get("transpose_x", False))
        elif op.type in (*_PRODUCTS, *_CONVOLUTIONS):  # Paddle 2
            first, second = ("X", "Y") if op.type in _PRODUCTS else ("Input", "Filter")
            inputs = [list(block.var(op.input(slot)[0]).shape) for slot in (first, second)]
            output = list(block.var(op.output_arg_names[0]).shape)
            yield op.type, inputs, output, op.has_attr("trans_x") and bool(op.attr("trans_x"))
