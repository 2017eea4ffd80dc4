"""Which parameters are decayed, and how."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Tuple

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.registry import suggest

_REGULARIZERS = {"L1": paddle.regularizer.L1Decay, "L2": paddle.regularizer.L2Decay}


@dataclass(frozen=True)
class Settings:
    """What an optimizer does to the parameters of a model.

    Attributes:
        decayed: names of the parameters that weight decay touches, whatever its coefficient.
        spared: names of the others.
        factors: the smallest and the largest share of the rate that a parameter has.
    """

    decayed: List[str]
    spared: List[str]
    factors: Tuple[float, float]


def trainable(model: nn.Layer) -> Dict[str, paddle.Tensor]:
    """Return the parameters that have a gradient, by their structured names.

    Raises:
        ConfigError: there are none.
    """
    found = {name: parameter for name, parameter in model.named_parameters() if not parameter.stop_gradient}
    if not found:
        raise ConfigError("every parameter is frozen (Global.freeze): there is nothing to train")
    return found


def decay_report(
    model: nn.Layer, no_weight_decay_name: Optional[str] = None, one_dim_param_no_weight_decay: bool = False
) -> Tuple[List[str], List[str]]:
    """Return the names of the trainable parameters that weight decay touches, and of those that it spares.

    Args:
        no_weight_decay_name: space-separated parts of names to spare.
        one_dim_param_no_weight_decay: spare biases, scales and all else that has one dimension.
    """
    parts = (no_weight_decay_name or "").split()
    spared_by_model = model.no_weight_decay() if hasattr(model, "no_weight_decay") else set()
    decayed: List[str] = []
    spared: List[str] = []
    for name, parameter in trainable(model).items():
        spare = (
            name in spared_by_model
            or any(part in name for part in parts)
            or (one_dim_param_no_weight_decay and len(parameter.shape) <= 1)
        )
        (spared if spare else decayed).append(name)
    return decayed, spared


def decay_by_depth(model: nn.Layer, layer_decay: float) -> Tuple[float, float]:
    """Scale the rate of each parameter by layer_decay^(deepest - depth); return the smallest and largest factor.

    Layer-wise decay of BEiT (https://arxiv.org/abs/2106.08254, appendix); decoupled weight decay follows the rate.
    Per parameter, because Paddle clips each parameter group by itself: groups would break the global norm.

    Raises:
        ConfigError: the model does not tell depths.
    """
    parameters = trainable(model)
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
    return min(factors.values()), max(factors.values())


def regularizer_of(weight_decay: Optional[float], regularizer: Optional[Mapping[str, Any]]) -> Optional[Any]:
    """Return Paddle's regularizer for what a recipe says; None for no decay.

    Args:
        weight_decay: coefficient of an L2 penalty.
        regularizer: {name: L1 or L2, coeff: its coefficient}, which says the same in other words.

    Raises:
        ConfigError: both are given, or a name, key or coefficient is wrong.
    """
    if regularizer is None:
        return _REGULARIZERS["L2"](require_coefficient("weight_decay", weight_decay)) if weight_decay else None
    if weight_decay is not None:
        raise ConfigError("weight_decay and regularizer say the same; give one of them")
    given = dict(regularizer)
    name, coeff = given.pop("name", None), given.pop("coeff", None)
    for key in given:
        raise ConfigError(f"regularizer: unknown key {key!r}{suggest(key, ['name', 'coeff'])}")
    if name not in _REGULARIZERS:
        raise ConfigError(f"regularizer: unknown name {name!r}{suggest(name, _REGULARIZERS)}")
    return _REGULARIZERS[name](require_coefficient("regularizer.coeff", coeff))


def set_regularizer(model: nn.Layer, regularizer: Optional[Any], decayed: List[str]) -> None:
    """Let ``regularizer`` act on the ``decayed`` parameters and on no other.

    Per parameter, because Paddle clips each parameter group by itself: groups would break the global norm.
    """
    for name, parameter in model.named_parameters():
        parameter.regularizer = regularizer if name in decayed else None
    for name, parameter in trainable(model).items():
        parameter.optimize_attr["decays"] = name in decayed  # ours, for settings_of


def decay_settings(model: nn.Layer) -> Settings:
    """Return what the optimizer that was built last does to the parameters."""
    parameters = trainable(model)
    attributes = {name: parameter.optimize_attr for name, parameter in parameters.items()}
    factors = [attribute["learning_rate"] for attribute in attributes.values()]
    return Settings(
        decayed=[name for name in parameters if attributes[name].get("decays")],
        spared=[name for name in parameters if not attributes[name].get("decays")],
        factors=(min(factors), max(factors)),
    )


def require_coefficient(name: str, value: Optional[float]) -> float:
    """Return ``value``.

    Raises:
        ConfigError: it is not a number of at least 0.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ConfigError(f"{name}: expected a number of at least 0, got {value!r}")
    return float(value)
