"""Fold batch norms into the convolutions before them."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple

import numpy as np
import paddle
from paddle import nn

_Slot = Tuple[nn.Layer, str]  # where a layer is: its parent, and its name there


def fold(model: nn.Layer, images: np.ndarray) -> Tuple[int, int]:
    """Fold each batch norm that follows a convolution into the convolution's weights.

    The model must be in evaluation mode. A batch norm that follows an activation stays, as in ConvMixer: its output is
    padded or added to something.

    Args:
        images: [B, C, H, W]; the model is run on the first one to see which layer follows which.

    Returns:
        The number of batch norms folded, and the number left.
    """
    norms = {id(layer): layer for layer in model.sublayers() if isinstance(layer, nn.BatchNorm2D)}
    pairs = _pairs(model, images)
    for convolution, norm, (parent, name) in pairs:
        _fold(convolution, norm)
        setattr(parent, name, nn.Identity())
    return len(pairs), len(norms) - len(pairs)


def _pairs(model: nn.Layer, images: np.ndarray) -> List[Tuple[nn.Conv2D, nn.BatchNorm2D, _Slot]]:
    """Return each convolution whose output is the input of a batch norm, with that norm and where the norm is."""
    outputs: Dict[int, Tuple[nn.Conv2D, paddle.Tensor]] = {}  # the tensor is kept, so that its id is not used again
    convolution_before: Dict[int, nn.Conv2D] = {}

    def note_output(layer: Any, inputs: Any, output: Any) -> Any:
        outputs[id(output)] = (layer, output)

    def note_input(layer: Any, inputs: Any) -> Any:
        if id(inputs[0]) in outputs:
            convolution_before[id(layer)] = outputs[id(inputs[0])][0]

    layers = [(parent, name, layer) for parent in model.sublayers(True) for name, layer in parent.named_children()]
    hooks = []
    for _, _, layer in layers:
        if isinstance(layer, nn.Conv2D):
            hooks.append(layer.register_forward_post_hook(note_output))
        elif isinstance(layer, nn.BatchNorm2D):
            hooks.append(layer.register_forward_pre_hook(note_input))
    try:
        with paddle.no_grad():
            model(paddle.to_tensor(images[:1]))
    finally:
        for hook in hooks:
            hook.remove()
    return [
        (convolution_before[id(norm)], norm, (parent, name))
        for parent, name, norm in layers
        if isinstance(norm, nn.BatchNorm2D) and id(norm) in convolution_before
    ]


def _fold(convolution: nn.Conv2D, norm: nn.BatchNorm2D) -> None:
    """Fold the norm into the convolution (in float64, rounded once)."""
    tensors = (convolution.weight, norm.weight, norm.bias, norm._mean, norm._variance)
    weight, gain, offset, mean, variance = (np.asarray(tensor).astype(np.float64) for tensor in tensors)
    scale = gain / np.sqrt(variance + norm._epsilon)
    bias = 0.0 if convolution.bias is None else np.asarray(convolution.bias).astype(np.float64)
    shift = offset + (bias - mean) * scale
    convolution.weight.set_value((weight * scale[:, None, None, None]).astype(np.float32))
    if convolution.bias is None:
        convolution.bias = convolution.create_parameter([len(shift)], is_bias=True)
    convolution.bias.set_value(shift.astype(np.float32))
