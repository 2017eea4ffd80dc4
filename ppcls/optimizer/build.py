"""The optimizers that a recipe may name.

The training loop sets the learning rate before every update with ``optimizer.set_lr``; see
``ppcls.optimizer.schedule``.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Mapping, Optional

import paddle
from paddle import nn

from ppcls.errors import ConfigError
from ppcls.optimizer.algorithms import AdanOptimizer, LionOptimizer, NAdamOptimizer
from ppcls.optimizer.arguments import CoupledArguments, DecoupledArguments
from ppcls.optimizer.decay import trainable_parameters
from ppcls.registry import Registry
from ppcls.registry.checks import require_factor, require_fraction, require_non_negative


class _TrialModel(nn.Linear):
    """A small model with which a recipe's arguments are checked."""

    def depth_of(self, name: str) -> int:
        """Return 0, the depth of the only layer."""
        return 0


OPTIMIZERS = Registry(
    "optimizer",
    trial_arguments=lambda: {"model": _TrialModel(1, 1), "learning_rate": 0.1},
    injectable=("model", "learning_rate", "parameters"),
    interface=("step", "clear_grad", "set_lr", "state_dict", "set_state_dict"),
    base="paddle.optimizer.Optimizer",
)
_register_coupled = partial(
    OPTIMIZERS.register, injected=("model", "learning_rate"), argument_groups={"common": CoupledArguments}
)
_register_decoupled = partial(
    OPTIMIZERS.register, injected=("model", "learning_rate"), argument_groups={"common": DecoupledArguments}
)


def build_optimizer(args: Mapping[str, Any], model: nn.Layer, *, learning_rate: float) -> paddle.optimizer.Optimizer:
    """Build a recipe's ``Optimizer`` for the parameters of ``model`` that are not frozen.

    The arguments common to all optimizers are described in ``ppcls.optimizer.arguments``.

    Args:
        args: the recipe's section, with ``name`` but without ``lr`` and ``lr_scaling``.
        learning_rate: for the first update.

    Raises:
        ConfigError: the name is missing or unknown, an argument is unknown or out of range, or there is nothing to
            train.
    """
    args = dict(args)
    name = args.pop("name", None)
    if name is None:
        raise ConfigError(f"Optimizer: name is missing (allowed: {', '.join(OPTIMIZERS.names())})")
    parameters = list(trainable_parameters(model).values())
    return OPTIMIZERS.build(name, args, model=model, learning_rate=learning_rate, parameters=parameters)


@_register_coupled(name="SGD")
def sgd(common: CoupledArguments) -> paddle.optimizer.SGD:
    """Return plain gradient descent. Weight decay is an L2 penalty, or the ``regularizer`` that is given."""
    return paddle.optimizer.SGD(multi_precision=common.multi_precision, **common.prepare())


@_register_coupled(name="Momentum")
def momentum_sgd(
    common: CoupledArguments, momentum: float = 0.9, use_nesterov: bool = False
) -> paddle.optimizer.Momentum:
    """Return gradient descent with momentum. Weight decay is an L2 penalty, or the ``regularizer`` that is given."""
    require_fraction("momentum", momentum)
    return paddle.optimizer.Momentum(
        momentum=momentum,
        use_nesterov=use_nesterov,
        multi_precision=common.multi_precision,
        **common.prepare(),
    )


@_register_coupled(name="RMSProp")
def rmsprop(
    common: CoupledArguments, rho: float = 0.95, epsilon: float = 1e-6, momentum: float = 0.0, centered: bool = False
) -> paddle.optimizer.RMSProp:
    """Return RMSProp with ``epsilon`` inside the square root, as in TensorFlow.

    Weight decay is an L2 penalty, or the ``regularizer`` that is given. Source: slides of lecture 6,
    http://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf.
    """
    require_fraction("rho", rho)
    require_fraction("momentum", momentum)
    optimizer = paddle.optimizer.RMSProp(
        rho=rho,
        epsilon=require_non_negative("epsilon", epsilon),
        momentum=momentum,
        centered=centered,
        **common.prepare(),
    )
    # RMSProp has no argument for it; Paddle's AMP sets it like this.
    optimizer._multi_precision = common.multi_precision
    return optimizer


@_register_coupled(name="Adam")
def adam(
    common: CoupledArguments, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> paddle.optimizer.Adam:
    """Return Adam (https://arxiv.org/abs/1412.6980). Weight decay is an L2 penalty, or the given ``regularizer``."""
    require_fraction("beta1", beta1)
    require_fraction("beta2", beta2)
    return paddle.optimizer.Adam(
        beta1=beta1,
        beta2=beta2,
        epsilon=require_non_negative("epsilon", epsilon),
        multi_precision=common.multi_precision,
        **common.prepare(),
    )


@_register_coupled(name="NAdam")
def nadam(
    common: CoupledArguments,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    momentum_decay: float = 0.004,
) -> NAdamOptimizer:
    """Return Adam with Nesterov momentum. Weight decay is an L2 penalty, or the ``regularizer`` that is given."""
    require_fraction("beta1", beta1)
    require_fraction("beta2", beta2)
    require_non_negative("epsilon", epsilon)
    require_non_negative("momentum_decay", momentum_decay)
    return NAdamOptimizer(beta1, beta2, epsilon, momentum_decay, common.multi_precision, common.prepare())


@_register_decoupled(name="AdamW")
def adamw(
    common: DecoupledArguments, beta1: float = 0.9, beta2: float = 0.999, epsilon: float = 1e-8
) -> paddle.optimizer.AdamW:
    """Return Adam with decoupled weight decay, w <- w (1 - lr weight_decay). https://arxiv.org/abs/1711.05101."""
    require_fraction("beta1", beta1)
    require_fraction("beta2", beta2)
    return paddle.optimizer.AdamW(
        beta1=beta1,
        beta2=beta2,
        epsilon=require_non_negative("epsilon", epsilon),
        weight_decay=float(common.weight_decay),
        apply_decay_param_fun=frozenset(common.decayed_variables()).__contains__,
        multi_precision=common.multi_precision,
        **common.prepare(),
    )


@_register_decoupled(name="AdamWDL")
def adamw_with_layer_decay(
    common: DecoupledArguments,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    layerwise_decay: Optional[float] = None,
    filter_bias_and_bn: bool = True,
) -> paddle.optimizer.AdamW:
    """Return AdamW with layer-wise learning rates, under PaddleClas's names.

    Args:
        common: the arguments common to all optimizers.
        beta1: as for AdamW.
        beta2: as for AdamW.
        epsilon: as for AdamW.
        layerwise_decay: another name for ``layer_decay``.
        filter_bias_and_bn: another name for ``one_dim_param_no_weight_decay``, on by default.
    """
    if layerwise_decay is not None:
        if common.layer_decay is not None:
            raise ConfigError("layerwise_decay: layer_decay means the same; give one of them")
        common = replace(common, layer_decay=require_factor("layerwise_decay", layerwise_decay))
    if filter_bias_and_bn:
        common = replace(common, one_dim_param_no_weight_decay=True)
    return adamw(common, beta1, beta2, epsilon)


@_register_decoupled(name="Lamb")
def lamb(
    common: DecoupledArguments,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-6,
    always_adapt: bool = False,
) -> paddle.optimizer.Lamb:
    """Return LAMB, whose step has the norm of the weights times the learning rate. https://arxiv.org/abs/1904.00962.

    Args:
        common: the arguments common to all optimizers.
        beta1: decay rate of the first moment.
        beta2: decay rate of the second moment.
        epsilon: added to the square root.
        always_adapt: scale the step of parameters without weight decay, too; otherwise theirs is Adam's.
    """
    require_fraction("beta1", beta1)
    require_fraction("beta2", beta2)
    decayed = frozenset(common.decayed_variables())
    return paddle.optimizer.Lamb(
        beta1=beta1,
        beta2=beta2,
        epsilon=require_non_negative("epsilon", epsilon),
        lamb_weight_decay=float(common.weight_decay),
        exclude_from_weight_decay_fn=lambda parameter: parameter.name not in decayed,
        always_adapt=always_adapt,
        multi_precision=common.multi_precision,
        **common.prepare(),
    )


@_register_decoupled(name="Lion", defaults={"weight_decay": 0.0})
def lion(common: DecoupledArguments, beta1: float = 0.9, beta2: float = 0.99) -> LionOptimizer:
    """Return Lion (https://arxiv.org/abs/2302.06675). It needs about a tenth of AdamW's learning rate."""
    require_fraction("beta1", beta1)
    require_fraction("beta2", beta2)
    return LionOptimizer(
        beta1,
        beta2,
        common.weight_decay,
        common.decayed_variables(),
        common.multi_precision,
        common.prepare(),
    )


@_register_decoupled(name="Adan", defaults={"weight_decay": 0.0})
def adan(
    common: DecoupledArguments,
    beta1: float = 0.98,
    beta2: float = 0.92,
    beta3: float = 0.99,
    epsilon: float = 1e-8,
    no_prox: bool = False,
) -> AdanOptimizer:
    """Return Adan (https://arxiv.org/abs/2208.06677), with the defaults of its authors' code.

    Args:
        common: the arguments common to all optimizers.
        beta1: decay rate of the mean of the gradients.
        beta2: decay rate of the mean of their differences.
        beta3: decay rate of the mean of squares.
        epsilon: added to the square root.
        no_prox: decay the weights before the step, as AdamW does, and not after it.
    """
    for name, value in (("beta1", beta1), ("beta2", beta2), ("beta3", beta3)):
        require_fraction(name, value)
    return AdanOptimizer(
        (beta1, beta2, beta3),
        require_non_negative("epsilon", epsilon),
        common.weight_decay,
        no_prox,
        common.decayed_variables(),
        common.multi_precision,
        common.prepare(),
    )
