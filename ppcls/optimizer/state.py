"""An optimizer's state under the model's parameter names.

Paddle names a parameter after the number of layers built before it (``conv2d_0.w_0``), so its own state fits only the
process that saved it, or one that builds the very same layers in the same order. And it creates the state at the first
update: loading earlier has to create it first.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

import numpy as np
import paddle
from paddle import nn
from paddle.base.layer_helper import LayerHelper

from ppcls.errors import CheckpointError

_SHOWN = 10


def optimizer_state(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> Dict[str, np.ndarray]:
    """Return the optimizer's state, for example ``stem.conv.weight/moment1``.

    Half-precision parameters with ``multi_precision`` also have a ``master_weight``.

    Raises:
        CheckpointError: the optimizer updates a parameter that is not in ``model``.
    """
    return {key: tensor.numpy() for key, tensor in _tensors(optimizer, model).items()}


def load_optimizer_state(
    optimizer: paddle.optimizer.Optimizer, model: nn.Layer, state: Mapping[str, np.ndarray]
) -> None:
    """Set the optimizer's state, before or after its first update; all of it, or nothing.

    Raises:
        CheckpointError: anything is missing, unexpected, or of another shape or type.
    """
    tensors = _tensors(optimizer, model)
    own = {key: tensor.numpy() for key, tensor in tensors.items()}
    wrong = [
        f"{key} {state[key].dtype}{list(state[key].shape)} instead of {own[key].dtype}{list(own[key].shape)}"
        for key in own
        if key in state and (state[key].shape != own[key].shape or state[key].dtype != own[key].dtype)
    ]
    faults: List[str] = []
    for kind, lines in (
        ("missing", [key for key in own if key not in state]),
        ("unexpected", [key for key in state if key not in own]),
        ("mis-shaped", wrong),
    ):
        if lines:
            more = f" and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
            faults.append(f"  {len(lines)} {kind}: {', '.join(lines[:_SHOWN])}{more}")
    if faults:
        raise CheckpointError(
            "\n".join([f"the saved state does not fit {type(optimizer).__name__} and this model:", *faults])
        )
    for key, tensor in tensors.items():
        tensor.set_value(state[key])


def _tensors(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> Dict[str, paddle.Tensor]:
    """Return the tensors that make up the state, creating those that do not exist yet."""
    parameters = _named(optimizer, model)
    # Paddle has no public way to create or address them.
    if getattr(optimizer, "helper", None) is None:  # 2.6 makes it at the first update only
        optimizer.helper = LayerHelper(type(optimizer).__name__)
    block = paddle.static.default_main_program().global_block()
    optimizer._create_accumulators(block, [parameter for _, parameter in parameters])
    masters = getattr(optimizer, "_master_weights", {})
    found: Dict[str, paddle.Tensor] = {}
    for name, parameter in parameters:
        variable = parameter.name
        if variable in masters:
            found[f"{name}/master_weight"] = masters[variable]
            variable = masters[variable].name
        for kind, tensors in optimizer._accumulators.items():
            if variable in tensors:
                found[f"{name}/{kind}"] = tensors[variable]
    return found


def _named(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> List[Tuple[str, paddle.Tensor]]:
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    updated = [parameter for parameter in optimizer._parameter_list if not parameter.stop_gradient]
    strangers = [parameter.name for parameter in updated if parameter.name not in names]
    if strangers:
        raise CheckpointError(f"the optimizer updates {', '.join(strangers[:_SHOWN])}, which this model does not have")
    return [(names[parameter.name], parameter) for parameter in updated]
