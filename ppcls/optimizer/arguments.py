"""Arguments common to all optimizers: gradient clipping, weight decay and layer-wise learning rates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.optimizer.decay import (
    apply_layer_decay,
    build_regularizer,
    set_regularizer,
    split_by_decay,
    trainable_parameters,
)
from ppcls.registry.checks import require_factor, require_non_negative


@dataclass(frozen=True)
class OptimizerArguments:
    """Arguments that a recipe may give to every optimizer.

    Args:
        model: its parameters are trained, except frozen ones.
        learning_rate: for the first update.
        clip_norm: largest norm of all gradients together. (PaddleClas clips each tensor's norm.)
        clip_value: largest absolute value of each gradient element; an alternative to ``clip_norm``.
        no_weight_decay_name: space-separated substrings. Parameters whose names contain one of them are not decayed;
            nor are those in the model's own ``no_weight_decay()``.
        one_dim_param_no_weight_decay: do not decay one-dimensional parameters, such as biases and scales.
        layer_decay: the learning rate of each layer is that of the next layer times this factor.
        multi_precision: keep float32 copies of half-precision weights.

    Raises:
        ConfigError: a value is out of range, or there is nothing to train.
    """

    model: nn.Layer
    learning_rate: float
    clip_norm: Optional[float] = None
    clip_value: Optional[float] = None
    no_weight_decay_name: Optional[str] = None
    one_dim_param_no_weight_decay: bool = False
    layer_decay: Optional[float] = None
    multi_precision: bool = False

    def __post_init__(self) -> None:
        if self.clip_norm is not None and self.clip_value is not None:
            raise ConfigError("clip_value: cannot be combined with clip_norm; set one of them to null")
        for name, bound in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if bound is not None and not require_non_negative(name, bound):
                raise ConfigError(f"{name}: must be a positive number, not {bound!r}; leave it out for no clipping")
        if self.layer_decay is not None:
            require_factor("layer_decay", self.layer_decay)

    @property
    def decayed(self) -> List[str]:
        """Return the structured names of the parameters with weight decay."""
        return split_by_decay(self.model, self.no_weight_decay_name, self.one_dim_param_no_weight_decay)[0]

    def prepare(self) -> Dict[str, Any]:
        """Set the attributes that Paddle reads from each parameter.

        Returns:
            The constructor arguments that all of Paddle's optimizers have in common.
        """
        set_regularizer(self.model, self._regularizer(), self.decayed)
        apply_layer_decay(self.model, 1.0 if self.layer_decay is None else self.layer_decay)
        clip: Optional[nn.clip.ClipGradBase] = None
        if self.clip_norm is not None:
            clip = nn.ClipGradByGlobalNorm(float(self.clip_norm))
        elif self.clip_value is not None:
            clip = nn.ClipGradByValue(float(self.clip_value))
        return {
            "learning_rate": float(self.learning_rate),
            "parameters": list(trainable_parameters(self.model).values()),
            "grad_clip": clip,
        }

    def _regularizer(self) -> Optional[paddle.regularizer.WeightDecayRegularizer]:
        return None


@dataclass(frozen=True)
class CoupledArguments(OptimizerArguments):
    """Arguments of optimizers whose weight decay is a penalty, added to the gradient.

    Args:
        weight_decay: coefficient of an L2 penalty.
        regularizer: another way to give the penalty: {name: L1 or L2, coeff: its coefficient}.
    """

    weight_decay: Optional[float] = None
    regularizer: Optional[Mapping[str, Any]] = None

    def _regularizer(self) -> Optional[paddle.regularizer.WeightDecayRegularizer]:
        return build_regularizer(self.weight_decay, self.regularizer)


@dataclass(frozen=True)
class DecoupledArguments(OptimizerArguments):
    """Arguments of optimizers with decoupled weight decay (https://arxiv.org/abs/1711.05101).

    Args:
        weight_decay: coefficient; it is multiplied by the learning rate.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_non_negative("weight_decay", self.weight_decay)

    def decayed_variables(self) -> List[str]:
        """Return Paddle's own names of the parameters with weight decay."""
        parameters = trainable_parameters(self.model)
        return [parameters[name].name for name in self.decayed]
