"""Optimizers by name.

Rates are set before every update with ``optimizer.set_lr``; see ``ppcls.optimizer.schedule``.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.optimizer import adaptive  # noqa: F401  registers itself
from ppcls.optimizer.decay import decay_report, regularizer_of, require_coefficient, set_regularizer, trainable
from ppcls.optimizer.shared import OPTIMIZERS, PROVIDED, clip, require_fractions


def build_optimizer(args: Mapping[str, Any], model: nn.Layer, *, learning_rate: float) -> paddle.optimizer.Optimizer:
    """Build a recipe's ``Optimizer`` for the parameters of ``model`` that are not frozen.

    Arguments that all optimizers share: ``clip_norm`` bounds the norm of all gradients together (PaddleClas bounds
    each tensor's), or ``clip_value`` each value; ``no_weight_decay_name`` (space-separated parts of parameter names),
    ``one_dim_param_no_weight_decay`` and the model's own ``no_weight_decay()`` spare parameters from decay;
    ``multi_precision`` keeps float32 copies of half-precision weights.

    Args:
        args: the recipe's keys without ``lr``, ``name`` among them.
        learning_rate: of the first update.

    Raises:
        ConfigError: no or an unknown name, unknown arguments, values out of range, or nothing to train.
    """
    args = dict(args)
    name = args.pop("name", None)
    if name is None:
        raise ConfigError(f"Optimizer: name is missing (allowed: {', '.join(OPTIMIZERS.names())})")
    return OPTIMIZERS.build(name, args, model=model, learning_rate=learning_rate)


@OPTIMIZERS.register(name="SGD", provided=PROVIDED)
def sgd(
    model: nn.Layer,
    learning_rate: float,
    weight_decay: Optional[float] = None,
    regularizer: Optional[Mapping[str, Any]] = None,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
    multi_precision: bool = False,
) -> paddle.optimizer.SGD:
    """Return plain gradient descent; decay is an L2 penalty, or what ``regularizer`` says."""
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, regularizer_of(weight_decay, regularizer), decayed)
    return paddle.optimizer.SGD(
        learning_rate,
        parameters=list(trainable(model).values()),
        grad_clip=clip(clip_norm, clip_value),
        multi_precision=multi_precision,
    )


@OPTIMIZERS.register(name="Momentum", provided=PROVIDED)
def momentum_sgd(
    model: nn.Layer,
    learning_rate: float,
    momentum: float = 0.9,
    use_nesterov: bool = False,
    weight_decay: Optional[float] = None,
    regularizer: Optional[Mapping[str, Any]] = None,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
    multi_precision: bool = False,
) -> paddle.optimizer.Momentum:
    """Return gradient descent with momentum; decay is an L2 penalty, or what ``regularizer`` says."""
    require_fractions(momentum=momentum)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, regularizer_of(weight_decay, regularizer), decayed)
    return paddle.optimizer.Momentum(
        learning_rate,
        momentum=momentum,
        use_nesterov=use_nesterov,
        parameters=list(trainable(model).values()),
        grad_clip=clip(clip_norm, clip_value),
        multi_precision=multi_precision,
    )


@OPTIMIZERS.register(name="Adam", provided=PROVIDED)
def adam(
    model: nn.Layer,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: Optional[float] = None,
    regularizer: Optional[Mapping[str, Any]] = None,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
    multi_precision: bool = False,
) -> paddle.optimizer.Adam:
    """Return Adam; decay is an L2 penalty, or what ``regularizer`` says. https://arxiv.org/abs/1412.6980."""
    require_fractions(beta1=beta1, beta2=beta2)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, regularizer_of(weight_decay, regularizer), decayed)
    return paddle.optimizer.Adam(
        learning_rate,
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        parameters=list(trainable(model).values()),
        grad_clip=clip(clip_norm, clip_value),
        multi_precision=multi_precision,
    )


@OPTIMIZERS.register(name="AdamW", provided=PROVIDED)
def adamw(
    model: nn.Layer,
    learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    weight_decay: float = 0.01,
    clip_norm: Optional[float] = None,
    clip_value: Optional[float] = None,
    no_weight_decay_name: Optional[str] = None,
    one_dim_param_no_weight_decay: bool = False,
    multi_precision: bool = False,
) -> paddle.optimizer.AdamW:
    """Return Adam with decoupled decay, p <- p (1 - lr weight_decay). https://arxiv.org/abs/1711.05101."""
    require_fractions(beta1=beta1, beta2=beta2)
    decayed, _ = decay_report(model, no_weight_decay_name, one_dim_param_no_weight_decay)
    set_regularizer(model, None, decayed)
    parameters = trainable(model)
    variables = {parameters[name].name for name in decayed}  # Paddle asks by its own names
    return paddle.optimizer.AdamW(
        learning_rate,
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        weight_decay=require_coefficient("weight_decay", weight_decay),
        apply_decay_param_fun=variables.__contains__,
        parameters=list(parameters.values()),
        grad_clip=clip(clip_norm, clip_value),
        multi_precision=multi_precision,
    )
