"""Weight decay and layer-wise learning rates: which parameters get what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.registry import suggest
from ppcls.registry.checks import require_non_negative

_REGULARIZERS = {"L1": paddle.regularizer.L1Decay, "L2": paddle.regularizer.L2Decay}


@dataclass(frozen=True)
class DecaySettings:
    """What an optimizer does to the parameters of a model.

    Attributes:
        decayed: names of the parameters with weight decay, whatever its coefficient.
        not_decayed: names of the others.
        lr_factors: the smallest and the largest factor on the learning rate.
    """

    decayed: List[str]
    not_decayed: List[str]
    lr_factors: Tuple[float, float]


def trainable_parameters(model: nn.Layer) -> Dict[str, paddle.Tensor]:
    """Return the parameters that are not frozen, by their structured names.

    Raises:
        ConfigError: there are none.
    """
    parameters = {name: parameter for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    if not parameters:
        raise ConfigError("every parameter is frozen (Global.freeze): there is nothing to train")
    return parameters


def split_by_decay(
    model: nn.Layer, no_weight_decay_name: Optional[str] = None, one_dim_param_no_weight_decay: bool = False
) -> Tuple[List[str], List[str]]:
    """Return the names of the trainable parameters with weight decay, and of those without.

    Args:
        no_weight_decay_name: space-separated substrings of names without weight decay.
        one_dim_param_no_weight_decay: no weight decay on one-dimensional parameters, such as biases and scales.
    """
    substrings = (no_weight_decay_name or "").split()
    excluded_by_model = model.no_weight_decay() if hasattr(model, "no_weight_decay") else set()
    decayed: List[str] = []
    not_decayed: List[str] = []
    for name, parameter in trainable_parameters(model).items():
        excluded = (
            name in excluded_by_model
            or any(substring in name for substring in substrings)
            or (one_dim_param_no_weight_decay and len(parameter.shape) <= 1)
        )
        (not_decayed if excluded else decayed).append(name)
    return decayed, not_decayed


def apply_layer_decay(model: nn.Layer, layer_decay: float) -> None:
    """Scale the learning rate of each parameter by layer_decay^(largest depth - depth).

    This is the layer-wise decay of BEiT (https://arxiv.org/abs/2106.08254, appendix). Decoupled weight decay is scaled
    with the learning rate. The factors are set per parameter, not per parameter group, because Paddle clips each group
    separately, which would break clipping by the global norm.

    Raises:
        ConfigError: the model does not tell the depth of its parameters.
    """
    parameters = trainable_parameters(model)
    if layer_decay == 1:
        factors = dict.fromkeys(parameters, 1.0)
    elif not hasattr(model, "depth_of"):
        raise ConfigError(
            f"layer_decay: {type(model).__name__} has no depth_of; derive the class from ppcls.arch.Backbone, which "
            "has it"
        )
    else:
        depths = {name: model.depth_of(name) for name, _ in model.named_parameters()}
        factors = {name: layer_decay ** (max(depths.values()) - depths[name]) for name in parameters}
    for name, parameter in parameters.items():
        parameter.optimize_attr["learning_rate"] = factors[name]


def build_regularizer(weight_decay: Optional[float], regularizer: Optional[Mapping[str, Any]]) -> Optional[Any]:
    """Return Paddle's regularizer for a recipe's weight decay; None for no decay.

    Args:
        weight_decay: coefficient of an L2 penalty.
        regularizer: another way to give the penalty: {name: L1 or L2, coeff: its coefficient}.

    Raises:
        ConfigError: both are given, or a name, key or coefficient is wrong.
    """
    if regularizer is None:
        return _REGULARIZERS["L2"](require_non_negative("weight_decay", weight_decay)) if weight_decay else None
    if weight_decay is not None:
        raise ConfigError("weight_decay and regularizer mean the same; give one of them")
    other = dict(regularizer)
    name, coeff = other.pop("name", None), other.pop("coeff", None)
    for key in other:
        raise ConfigError(f"regularizer: unknown key {key!r}{suggest(key, ['name', 'coeff'])}")
    if name not in _REGULARIZERS:
        raise ConfigError(f"regularizer: unknown name {name!r}{suggest(name, _REGULARIZERS)}")
    return _REGULARIZERS[name](require_non_negative("regularizer.coeff", coeff))


def set_regularizer(model: nn.Layer, regularizer: Optional[Any], decayed: List[str]) -> None:
    """Apply ``regularizer`` to the ``decayed`` parameters and to no others.

    It is set per parameter for the reason given in ``apply_layer_decay``.
    """
    for name, parameter in model.named_parameters():
        parameter.regularizer = regularizer if name in decayed else None
    for name, parameter in trainable_parameters(model).items():
        parameter.optimize_attr["decays"] = name in decayed  # not read by Paddle, but by decay_settings


def decay_settings(model: nn.Layer) -> DecaySettings:
    """Return what the optimizer that was built last does to the parameters of ``model``."""
    attributes = {name: parameter.optimize_attr for name, parameter in trainable_parameters(model).items()}
    factors = [attribute["learning_rate"] for attribute in attributes.values()]
    return DecaySettings(
        decayed=[name for name, attribute in attributes.items() if attribute.get("decays")],
        not_decayed=[name for name, attribute in attributes.items() if not attribute.get("decays")],
        lr_factors=(min(factors), max(factors)),
    )
