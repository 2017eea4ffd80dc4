"""Optimizers by name.

Rates are set before every update with ``optimizer.set_lr``; see ``ppcls.optimizer.schedule``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Mapping, Optional

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.optimizer.algorithms import LionOptimizer, NAdamOptimizer
from ppcls.optimizer.arguments import CoupledArguments, DecoupledArguments
from ppcls.optimizer.decay import require_coefficient, trainable
from ppcls.registry import Registry


class _Trial(nn.Linear):
    """A model to try a recipe's arguments on."""

    def depth_of(self, name: str) -> int:
        """Return the depth of a parameter: there is one layer."""
        return 0


OPTIMIZERS = Registry(
    "optimizer",
    trial=lambda: {"model": _Trial(1, 1), "learning_rate": 0.1},
    offers=("model", "learning_rate", "parameters"),
    interface=("step", "clear_grad", "set_lr", "state_dict", "set_state_dict"),
    base="paddle.optimizer.Optimizer",
)
_penalized = partial(OPTIMIZERS.register, provided=("model", "learning_rate"), bundles={"shared": CoupledArguments})
_decoupled = partial(OPTIMIZERS.register, provided=("model", "learning_rate"), bundles={"shared": DecoupledArguments})


def build_optimizer(args: Mapping[str, Any], model: nn.Layer, *, learning_rate: float) -> paddle.optimizer.Optimizer:
    """Build a recipe's ``Optimizer`` for the parameters of ``model`` that are not frozen.

    What all optimizers take alike is in ``ppcls.optimizer.arguments``.

    Args:
        args: the recipe's keys without ``lr`` and ``lr_scaling``, ``name`` among them.
        learning_rate: of the first update.

    Raises:
        ConfigError: no or an unknown name, unknown arguments, values out of range, or nothing to train.
    """
    args = dict(args)
    name = args.pop("name", None)
    if name is None:
        raise ConfigError(f"Optimizer: name is missing (allowed: {', '.join(OPTIMIZERS.names())})")
    parameters = list(trainable(model).values())
    return OPTIMIZERS.build(name, args, model=model, learning_rate=learning_rate, parameters=parameters)


def _require_fractions(**values: float) -> None:
    for name, value in values.items():
        if not 0 <= value < 1:
            raise ConfigError(f"{name}: expected a number of at least 0 and below 1, got {value}")


@_penalized(name="SGD")
def sgd(shared: CoupledArguments) -> paddle.optimizer.SGD:
    """Return plain gradient descent; decay is an L2 penalty, or what ``regularizer`` says."""
    return paddle.optimizer.SGD(multi_precision=shared.multi_precision, **shared.prepare())


@_penalized(name="Momentum")
def momentum_sgd(
    shared: CoupledArguments, momentum: float = 0.9, use_nesterov: bool = False
) -> paddle.optimizer.Momentum:
    """Return gradient descent with momentum; decay is an L2 penalty, or what ``regularizer`` says."""
    _require_fractions(momentum=momentum)
    return paddle.optimizer.Momentum(
        momentum=momentum,
        use_nesterov=use_nesterov,
        multi_precision=shared.multi_precision,
        **shared.prepare(),
    )


@_penalized(name="RMSProp")
def rmsprop(
    shared: CoupledArguments, rho: float = 0.95, epsilon: float = 1e-6, momentum: float = 0.0, centered: bool = False
) -> paddle.optimizer.RMSProp:
    """Return RMSProp with ``epsilon`` below the root, as in TensorFlow; decay is an L2 penalty, or ``regularizer``.

    Slides of lecture 6, http://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.
    """
    _require_fractions(rho=rho, momentum=momentum)
    optimizer = paddle.optimizer.RMSProp(
        rho=rho,
        epsilon=require_coefficient("epsilon", epsilon),
        momentum=momentum,
        centered=centered,
        **shared.prepare(),
    )
    optimizer._multi_precision = shared.multi_precision  # Paddle's mixed precision sets it so: no argument does
    return optimizer


@_penalized(name="Adam")
def adam(
    shared: CoupledArguments, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> paddle.optimizer.Adam:
    """Return Adam; decay is an L2 penalty, or what ``regularizer`` says. https://arxiv.org/abs/1412.6980."""
    _require_fractions(beta1=beta1, beta2=beta2)
    return paddle.optimizer.Adam(
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        multi_precision=shared.multi_precision,
        **shared.prepare(),
    )


@_penalized(name="NAdam")
def nadam(
    shared: CoupledArguments,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 0.004,
) -> NAdamOptimizer:
    """Return Adam with Nesterov's momentum; decay is an L2 penalty, or what ``regularizer`` says."""
    _require_fractions(beta1=beta1, beta2=beta2)
    require_coefficient("epsilon", epsilon)
    require_coefficient("momentum_decay", momentum_decay)
    return NAdamOptimizer(beta1, beta2, epsilon, momentum_decay, shared.multi_precision, shared.prepare())


@_decoupled(name="AdamW")
def adamw(
    shared: DecoupledArguments, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> paddle.optimizer.AdamW:
    """Return Adam with decoupled decay, p <- p (1 - lr weight_decay). https://arxiv.org/abs/1711.05101."""
    _require_fractions(beta1=beta1, beta2=beta2)
    return paddle.optimizer.AdamW(
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        weight_decay=float(shared.weight_decay),
        apply_decay_param_fun=frozenset(shared.variables()).__contains__,
        multi_precision=shared.multi_precision,
        **shared.prepare(),
    )


@_decoupled(name="AdamWDL")
def adamw_with_layer_decay(
    shared: DecoupledArguments,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    layerwise_decay: Optional[float] = None,
    filter_bias_and_bn: bool = True,
) -> paddle.optimizer.AdamW:
    """Return AdamW under the name and with the words that PaddleClas has for ``layer_decay``.

    Args:
        shared: as for all.
        beta1: of AdamW.
        beta2: of AdamW.
        epsilon: of AdamW.
        layerwise_decay: the same as ``layer_decay``.
        filter_bias_and_bn: the same as ``one_dim_param_no_weight_decay``, which it turns on.
    """
    if layerwise_decay is not None:
        if shared.layer_decay is not None:
            raise ConfigError("layerwise_decay: layer_decay says the same; give one of them")
        if not 0 < layerwise_decay <= 1:
            raise ConfigError(f"layerwise_decay: expected a number above 0 and at most 1, got {layerwise_decay}")
        shared = replace(shared, layer_decay=layerwise_decay)
    if filter_bias_and_bn:
        shared = replace(shared, one_dim_param_no_weight_decay=True)
    return adamw(shared, beta1, beta2, epsilon)


@_decoupled(name="Lamb")
def lamb(
    shared: DecoupledArguments,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-6,
    always_adapt: bool = False,
) -> paddle.optimizer.Lamb:
    """Return Lamb, whose step is as long as the weights times the rate. https://arxiv.org/abs/1904.00962.

    Args:
        shared: as for all.
        beta1: of the first moment.
        beta2: of the second moment.
        epsilon: added to the square root.
        always_adapt: also where there is no decay; else the step there is Adam's.
    """
    _require_fractions(beta1=beta1, beta2=beta2)
    decayed = frozenset(shared.variables())
    return paddle.optimizer.Lamb(
        beta1=beta1,
        beta2=beta2,
        epsilon=require_coefficient("epsilon", epsilon),
        lamb_weight_decay=float(shared.weight_decay),
        exclude_from_weight_decay_fn=lambda parameter: parameter.name not in decayed,
        always_adapt=always_adapt,
        multi_precision=shared.multi_precision,
        **shared.prepare(),
    )


@_decoupled(name="Lion", defaults={"weight_decay": 0.0})
def lion(shared: DecoupledArguments, beta1: float = 0.9, beta2: float = 0.99) -> LionOptimizer:
    """Return Lion, whose steps have the gradient's sign: a tenth of AdamW's rate. https://arxiv.org/abs/2302.06675."""
    _require_fractions(beta1=beta1, beta2=beta2)
    return LionOptimizer(
        *(beta1, beta2, shared.weight_decay, shared.variables(), shared.multi_precision, shared.prepare())
    )
