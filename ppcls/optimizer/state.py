"""Optimizer state, saved and loaded under the model's parameter names.

Paddle numbers parameters in the order in which layers are built (``conv2d_0.w_0``). State saved under those names fits
only a process that builds the same layers in the same order. Paddle also creates the state at the first update only, so
loading it earlier has to create it first.
"""

from __future__ import annotations

from typing import Dict, List, Mapping, Tuple

import numpy as np
import paddle
from paddle import nn
from paddle.base.layer_helper import LayerHelper

from ppcls.errors import CheckpointError
from ppcls.utils.text import listed


def optimizer_state(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> Dict[str, np.ndarray]:
    """Return the optimizer's state, for example ``stem.conv.weight/moment1``.

    Half-precision parameters with ``multi_precision`` also have a ``master_weight``.

    Raises:
        CheckpointError: the optimizer updates a parameter that is not in ``model``.
    """
    return {key: tensor.numpy() for key, tensor in _state_tensors(optimizer, model).items()}


def load_optimizer_state(
    optimizer: paddle.optimizer.Optimizer, model: nn.Layer, state: Mapping[str, np.ndarray]
) -> None:
    """Set the optimizer's state, before or after its first update. Nothing is changed if anything does not fit.

    Raises:
        CheckpointError: an entry is missing, unexpected, or has a different shape or type.
    """
    tensors = _state_tensors(optimizer, model)
    current = {key: tensor.numpy() for key, tensor in tensors.items()}
    mismatched = [
        f"{key} {state[key].dtype}{list(state[key].shape)} instead of {current[key].dtype}{list(current[key].shape)}"
        for key in current
        if key in state and (state[key].shape != current[key].shape or state[key].dtype != current[key].dtype)
    ]
    problems: List[str] = []
    for problem, keys in (
        ("missing", [key for key in current if key not in state]),
        ("unexpected", [key for key in state if key not in current]),
        ("mis-shaped", mismatched),
    ):
        if keys:
            problems.append(f"  {len(keys)} {problem}: {listed(keys)}")
    if problems:
        raise CheckpointError(
            "\n".join([f"the saved state does not fit {type(optimizer).__name__} and this model:", *problems])
        )
    for key, tensor in tensors.items():
        tensor.set_value(state[key])


def _state_tensors(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> Dict[str, paddle.Tensor]:
    """Return the tensors of the state; those that do not exist yet are created."""
    parameters = _named_parameters(optimizer, model)
    # Paddle has no public API to create or name them.
    if getattr(optimizer, "helper", None) is None:  # Paddle 2.6 sets it at the first update only
        optimizer.helper = LayerHelper(type(optimizer).__name__)
    block = paddle.static.default_main_program().global_block()
    optimizer._create_accumulators(block, [parameter for _, parameter in parameters])
    masters = getattr(optimizer, "_master_weights", {})
    state: Dict[str, paddle.Tensor] = {}
    for name, parameter in parameters:
        variable = parameter.name
        if variable in masters:
            state[f"{name}/master_weight"] = masters[variable]
            variable = masters[variable].name
        for accumulator, tensors in optimizer._accumulators.items():
            if variable in tensors:
                state[f"{name}/{accumulator}"] = tensors[variable]
    return state


def _named_parameters(optimizer: paddle.optimizer.Optimizer, model: nn.Layer) -> List[Tuple[str, paddle.Tensor]]:
    names = {parameter.name: name for name, parameter in model.named_parameters()}
    updated = [parameter for parameter in optimizer._parameter_list if not parameter.stop_gradient]
    unknown = [parameter.name for parameter in updated if parameter.name not in names]
    if unknown:
        raise CheckpointError(f"the optimizer updates {listed(unknown)}, which this model does not have")
    return [(names[parameter.name], parameter) for parameter in updated]
