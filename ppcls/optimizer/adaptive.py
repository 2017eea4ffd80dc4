"""Further optimizers with a rate of its own for each parameter or tensor."""

from __future__ import annotations

from typing import Any, Mapping, Optional

import paddle
from paddle import nn

from ppcls.errors import MachineError
from ppcls.optimizer.decay import decay_report, regularizer_of, require_coefficient, set_regularizer, trainable
from ppcls.optimizer.lion import Lion
from ppcls.optimizer.shared import OPTIMIZERS, PROVIDED, clip, require_fractions


@OPTIMIZERS.register(name="RMSProp", provided=PROVIDED)
def rmsprop(
    model: nn.Layer,
    learning_rate: float,
    rho: float = 0.9,
    epsilon: float = 1e-6,
    momentum: float = 0.0,
    centered: bool = False,
    weight_decay: Optional[float] = None,
    regularizer: Optional[Mapping[str, Any]] = None,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
) -> paddle.optimizer.RMSProp:
    """Return RMSProp, epsilon under the root; decay is an L2 penalty, or what ``regularizer`` says."""
    require_fractions(rho=rho, momentum=momentum)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, regularizer_of(weight_decay, regularizer), decayed)
    return paddle.optimizer.RMSProp(
        learning_rate,
        rho=rho,
        epsilon=require_coefficient("epsilon", epsilon),
        momentum=momentum,
        centered=centered,
        parameters=list(trainable(model).values()),
        grad_clip=clip(clip_norm, clip_value),
    )


@OPTIMIZERS.register(name="NAdam", provided=PROVIDED)
def nadam(
    model: nn.Layer,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 0.004,
    weight_decay: Optional[float] = None,
    regularizer: Optional[Mapping[str, Any]] = None,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
) -> paddle.optimizer.Optimizer:
    """Return Adam with Nesterov momentum (https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ); decay as Adam's."""
    require_fractions(beta1=beta1, beta2=beta2)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, regularizer_of(weight_decay, regularizer), decayed)
    if not hasattr(paddle.optimizer, "NAdam"):
        raise MachineError(f"Optimizer.name: NAdam is not in paddle {paddle.__version__}; install 3.0 or newer")
    return paddle.optimizer.NAdam(
        learning_rate,
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        momentum_decay=require_coefficient("momentum_decay", momentum_decay),
        parameters=list(trainable(model).values()),
        grad_clip=clip(clip_norm, clip_value),
    )


@OPTIMIZERS.register(name="Lamb", provided=PROVIDED)
def lamb(
    model: nn.Layer,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-6,
    weight_decay: float = 0.01,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
    multi_precision: bool = False,
) -> paddle.optimizer.Lamb:
    """Return Adam whose step has each tensor's norm (https://arxiv.org/abs/1904.00962, algorithm 2).

    Tensors that are not decayed take the step as it is.
    """
    require_fractions(beta1=beta1, beta2=beta2)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, None, decayed)
    parameters = trainable(model)
    variables = {parameters[name].name for name in decayed}  # Paddle asks by its own names
    return paddle.optimizer.Lamb(
        learning_rate,
        lamb_weight_decay=require_coefficient("weight_decay", weight_decay),
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        exclude_from_weight_decay_fn=lambda parameter: parameter.name not in variables,
        parameters=list(parameters.values()),
        grad_clip=clip(clip_norm, clip_value),
        multi_precision=multi_precision,
    )


@OPTIMIZERS.register(name="Lion", provided=PROVIDED)
def lion(
    model: nn.Layer,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
) -> Lion:
    """Return the sign of a momentum with decoupled decay (https://arxiv.org/abs/2302.06675, algorithm 2)."""
    require_fractions(beta1=beta1, beta2=beta2)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, None, decayed)
    parameters = trainable(model)
    return Lion(
        learning_rate,
        beta1,
        beta2,
        require_coefficient("weight_decay", weight_decay),
        decayed={parameters[name].name for name in decayed},
        parameters=list(parameters.values()),
        grad_clip=clip(clip_norm, clip_value),
    )
