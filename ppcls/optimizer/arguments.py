"""What all optimizers take alike: clipping, which parameters decay, and each layer's share of the rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.optimizer.decay import (
    decay_by_depth,
    decay_report,
    regularizer_of,
    require_coefficient,
    set_regularizer,
    trainable,
)


@dataclass(frozen=True)
class OptimizerArguments:
    """Arguments that a recipe may give to every optimizer.

    Args:
        model: whose parameters that are not frozen are trained.
        learning_rate: of the first update.
        clip_norm: bounds the norm of all gradients together (PaddleClas bounds each tensor's).
        clip_value: bounds each number of the gradients instead.
        no_weight_decay_name: space-separated parts of the names of parameters that are spared from decay; those of the
            model's own ``no_weight_decay()`` always are.
        one_dim_param_no_weight_decay: spare biases, scales and all else that has one dimension.
        layer_decay: each layer's rate is this share of the rate of the layer after it.
        multi_precision: keep float32 copies of half-precision weights.

    Raises:
        ConfigError: a value out of its range, or nothing to train.
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
            raise ConfigError("clip_value: clip_norm is given, too, and only one of them clips; set the other to null")
        for name, bound in (("clip_norm", self.clip_norm), ("clip_value", self.clip_value)):
            if bound is not None and not require_coefficient(name, bound) > 0:
                raise ConfigError(f"{name}: expected a positive number, got {bound}; leave it out for no clipping")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay: expected a number above 0 and at most 1, got {self.layer_decay}")

    @property
    def decayed(self) -> List[str]:
        """Return the names of the parameters that decay."""
        return decay_report(self.model, self.no_weight_decay_name, self.one_dim_param_no_weight_decay)[0]

    def prepare(self) -> Dict[str, Any]:
        """Set what Paddle keeps at each parameter; return what its optimizers' constructors take alike."""
        set_regularizer(self.model, self._regularizer(), self.decayed)
        decay_by_depth(self.model, 1.0 if self.layer_decay is None else self.layer_decay)
        clip = None
        if self.clip_norm is not None:
            clip = nn.ClipGradByGlobalNorm(float(self.clip_norm))
        elif self.clip_value is not None:
            clip = nn.ClipGradByValue(float(self.clip_value))
        return {
            "learning_rate": float(self.learning_rate),
            "parameters": list(trainable(self.model).values()),
            "grad_clip": clip,
        }

    def _regularizer(self) -> Optional[paddle.regularizer.WeightDecayRegularizer]:
        return None


@dataclass(frozen=True)
class CoupledArguments(OptimizerArguments):
    """Of optimizers whose decay is a penalty, a part of the gradient.

    Args:
        weight_decay: coefficient of an L2 penalty.
        regularizer: {name: L1 or L2, coeff: its coefficient}, which says the same in other words.
    """

    weight_decay: Optional[float] = None
    regularizer: Optional[Mapping[str, Any]] = None

    def _regularizer(self) -> Optional[paddle.regularizer.WeightDecayRegularizer]:
        return regularizer_of(self.weight_decay, self.regularizer)


@dataclass(frozen=True)
class DecoupledArguments(OptimizerArguments):
    """Of optimizers that decay the weights beside the gradient's step, https://arxiv.org/abs/1711.05101.

    Args:
        weight_decay: coefficient, which the rate multiplies.
    """

    weight_decay: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        require_coefficient("weight_decay", self.weight_decay)

    def variables(self) -> List[str]:
        """Return Paddle's own names of the parameters that decay."""
        parameters = trainable(self.model)
        return [parameters[name].name for name in self.decayed]
