"""Optimizers that Paddle, or one of its supported versions, does not have. Written in Paddle's operators."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Tuple

import paddle


class CustomOptimizer(paddle.optimizer.Optimizer):
    """Base class. Paddle's own base does the gradient clipping, regularization and per-parameter learning rates.

    Args:
        multi_precision: keep float32 copies of half-precision weights.
        base_arguments: learning_rate, parameters and grad_clip for Paddle's base class.

    Attributes:
        accumulators: float32 state kept per parameter, by name: its shape (None for the parameter's own) and its
            initial value.
    """

    accumulators: ClassVar[Mapping[str, Tuple[Any, float]]] = {}

    def __init__(self, multi_precision: bool, base_arguments: Mapping[str, Any]) -> None:
        super().__init__(**base_arguments)
        # Names that Paddle's mixed precision and ppcls.optimizer.state look for.
        self._multi_precision = multi_precision
        self._master_weights: Dict[str, paddle.Tensor] = {}

    def update_parameter(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        learning_rate: paddle.Tensor,
        state: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return the new weight. All tensors are float32.

        Args:
            weight: the current weight.
            gradient: after clipping and regularization.
            learning_rate: of this parameter.
            state: the parameter's accumulators, by name; updated in place.
            name: Paddle's name of the parameter.
        """
        raise NotImplementedError

    def _has_master_weight(self, parameter: paddle.Tensor) -> bool:
        return self._multi_precision and self._is_dtype_fp16_or_bf16(parameter.dtype)

    def _create_accumulators(self, block: Any, parameters: List[paddle.Tensor]) -> None:
        for parameter in parameters:
            weight = self._create_master_weight(parameter) if self._has_master_weight(parameter) else parameter
            for name, (shape, value) in self.accumulators.items():
                self._add_accumulator(name, weight, dtype=paddle.float32, fill_value=value, shape=shape)

    def _append_optimize_op(self, block: Any, param_and_grad: Tuple[paddle.Tensor, paddle.Tensor]) -> None:
        parameter, gradient = param_and_grad
        master = self._master_weights[parameter.name] if self._has_master_weight(parameter) else None
        weight = parameter if master is None else master
        state = {name: self._get_accumulator_master(name, parameter) for name in self.accumulators}
        new_weight = self.update_parameter(
            _to_float32(weight), _to_float32(gradient), self._create_param_lr(param_and_grad), state, parameter.name
        )
        if master is not None:
            paddle.assign(new_weight, master)
        paddle.assign(new_weight.astype(parameter.dtype), parameter)


def _to_float32(tensor: paddle.Tensor) -> paddle.Tensor:
    return tensor if tensor.dtype == paddle.float32 else tensor.astype("float32")


class LionOptimizer(CustomOptimizer):
    """Lion, algorithm 2 of https://arxiv.org/abs/2302.06675.

    Args:
        beta1: weight of the momentum, against the gradient's 1 - beta1, in the update's direction.
        beta2: decay rate of the momentum.
        weight_decay: coefficient of the decoupled weight decay.
        decayed: Paddle's names of the parameters with weight decay.
        multi_precision: keep float32 copies of half-precision weights.
        base_arguments: as for ``CustomOptimizer``.
    """

    accumulators: ClassVar[Mapping[str, Tuple[Any, float]]] = {"momentum": (None, 0.0)}

    def __init__(
        self,
        beta1: float,
        beta2: float,
        weight_decay: float,
        decayed: List[str],
        multi_precision: bool,
        base_arguments: Mapping[str, Any],
    ) -> None:
        super().__init__(multi_precision, base_arguments)
        self._betas = beta1, beta2
        self._weight_decay = dict.fromkeys(decayed, weight_decay)

    def update_parameter(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        learning_rate: paddle.Tensor,
        state: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return w - lr (sign(beta1 m + (1 - beta1) g) + weight_decay w)."""
        (beta1, beta2), momentum = self._betas, state["momentum"]
        direction = paddle.sign(beta1 * momentum + (1 - beta1) * gradient)
        paddle.assign(beta2 * momentum + (1 - beta2) * gradient, momentum)
        return weight - learning_rate * (direction + self._weight_decay.get(name, 0.0) * weight)


class AdanOptimizer(CustomOptimizer):
    """Adan, algorithm 1 of https://arxiv.org/abs/2208.06677, with the bias corrections of its authors' code.

    Source of the bias corrections and of the names: https://github.com/sail-sg/Adan (adan.py). What the paper calls
    beta is 1 - beta here.

    Args:
        betas: decay rates of the gradients' mean, of the mean of their differences, and of the mean of squares.
        epsilon: added to the square root.
        weight_decay: coefficient of the decoupled weight decay.
        no_prox: decay before the step, w (1 - lr weight_decay), as AdamW; else after it, w / (1 + lr weight_decay).
        decayed: Paddle's names of the parameters with weight decay.
        multi_precision: keep float32 copies of half-precision weights.
        base_arguments: as for ``CustomOptimizer``.
    """

    accumulators: ClassVar[Mapping[str, Tuple[Any, float]]] = {
        "moment": (None, 0.0),
        "difference": (None, 0.0),
        "square": (None, 0.0),
        "previous_gradient": (None, 0.0),
        "updates": ([1], 0.0),
    }

    def __init__(
        self,
        betas: Tuple[float, float, float],
        epsilon: float,
        weight_decay: float,
        no_prox: bool,
        decayed: List[str],
        multi_precision: bool,
        base_arguments: Mapping[str, Any],
    ) -> None:
        super().__init__(multi_precision, base_arguments)
        self._betas, self._epsilon, self._no_prox = betas, epsilon, no_prox
        self._weight_decay = dict.fromkeys(decayed, weight_decay)

    def update_parameter(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        learning_rate: paddle.Tensor,
        state: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return the weight after a step of lr (m + beta2 v) / (sqrt(n) + epsilon) and its decay.

        m is the mean of the gradients g, v that of their differences d, and n that of (g + beta2 d)^2, each corrected
        for its bias. The first difference is 0.
        """
        beta1, beta2, beta3 = self._betas
        moment, difference, square, previous, updates = (state[key] for key in self.accumulators)
        change = paddle.where(updates > 0, gradient - previous, paddle.zeros_like(gradient))
        paddle.assign(gradient, previous)
        paddle.assign(updates + 1, updates)
        paddle.assign(beta1 * moment + (1 - beta1) * gradient, moment)
        paddle.assign(beta2 * difference + (1 - beta2) * change, difference)
        paddle.assign(beta3 * square + (1 - beta3) * (gradient + beta2 * change) ** 2, square)
        scale = paddle.sqrt(square / (1 - beta3**updates)) + self._epsilon
        step = (moment / (1 - beta1**updates) + beta2 * difference / (1 - beta2**updates)) / scale
        decay = learning_rate * self._weight_decay.get(name, 0.0)
        if self._no_prox:
            return weight * (1 - decay) - learning_rate * step
        return (weight - learning_rate * step) / (1 + decay)


class NAdamOptimizer(CustomOptimizer):
    """Adam with Nesterov momentum (https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ), as PyTorch computes it.

    Paddle 3 has its own, but it stores five values per weight where this one stores two.

    Args:
        beta1: decay rate of the first moment.
        beta2: decay rate of the second moment.
        epsilon: added to the square root.
        momentum_decay: psi, which sets how fast the momentum mu(t) = beta1 (1 - 0.96^(t psi) / 2) approaches beta1.
        multi_precision: keep float32 copies of half-precision weights.
        base_arguments: as for ``CustomOptimizer``.
    """

    accumulators: ClassVar[Mapping[str, Tuple[Any, float]]] = {
        "moment1": (None, 0.0),
        "moment2": (None, 0.0),
        "updates": ([1], 0.0),
        "mu_product": ([1], 1.0),
    }

    def __init__(
        self,
        beta1: float,
        beta2: float,
        epsilon: float,
        momentum_decay: float,
        multi_precision: bool,
        base_arguments: Mapping[str, Any],
    ) -> None:
        super().__init__(multi_precision, base_arguments)
        self._betas, self._epsilon, self._psi = (beta1, beta2), epsilon, momentum_decay

    def update_parameter(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        learning_rate: paddle.Tensor,
        state: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return w - lr (mu(t+1) m / (1 - mu(1)...mu(t+1)) + (1 - mu(t)) g / (1 - mu(1)...mu(t))) / (sqrt(v) + e)."""
        beta1, beta2 = self._betas
        moment1, moment2, updates, product = (state[key] for key in ("moment1", "moment2", "updates", "mu_product"))
        paddle.assign(updates + 1, updates)
        momentum, next_momentum = self._momentum(updates), self._momentum(updates + 1)
        paddle.assign(product * momentum, product)
        paddle.assign(beta1 * moment1 + (1 - beta1) * gradient, moment1)
        paddle.assign(beta2 * moment2 + (1 - beta2) * gradient * gradient, moment2)
        scale = paddle.sqrt(moment2 / (1 - beta2**updates)) + self._epsilon
        step = next_momentum / (1 - product * next_momentum) * moment1 + (1 - momentum) / (1 - product) * gradient
        return weight - learning_rate * step / scale

    def _momentum(self, updates: paddle.Tensor) -> paddle.Tensor:
        return self._betas[0] * (1 - 0.5 * 0.96 ** (updates * self._psi))
