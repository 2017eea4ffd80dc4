"""Optimizers that Paddle lacks, or lacks in some of the versions that are supported, in Paddle's operators."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Mapping, Tuple

import paddle


class CustomOptimizer(paddle.optimizer.Optimizer):
    """An optimizer in the frame of Paddle's, which clips, regularizes and knows each parameter's share of the rate.

    Args:
        multi_precision: keep float32 copies of half-precision weights.
        arguments: learning_rate, parameters and grad_clip, as Paddle's optimizers take them.

    Attributes:
        kinds: what is kept of each parameter: its shape, None for the parameter's, and what it begins with. In float32.
    """

    kinds: ClassVar[Mapping[str, Tuple[Any, float]]] = {}

    def __init__(self, multi_precision: bool, arguments: Mapping[str, Any]) -> None:
        super().__init__(**arguments)
        # Names that Paddle's mixed precision and ppcls.optimizer.state look for.
        self._multi_precision = multi_precision
        self._master_weights: Dict[str, paddle.Tensor] = {}

    def updated(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        rate: paddle.Tensor,
        kept: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return the new weight, in float32.

        Args:
            weight: in float32, as are all others.
            gradient: clipped, and with its penalty.
            rate: of this parameter.
            kept: the parameter's state, by kind; updated in place.
            name: Paddle's, of the parameter.
        """
        raise NotImplementedError

    def _has_master(self, parameter: paddle.Tensor) -> bool:
        return self._multi_precision and self._is_dtype_fp16_or_bf16(parameter.dtype)

    def _create_accumulators(self, block: Any, parameters: List[paddle.Tensor]) -> None:
        for parameter in parameters:
            owner = self._create_master_weight(parameter) if self._has_master(parameter) else parameter
            for kind, (shape, value) in self.kinds.items():
                self._add_accumulator(kind, owner, dtype=paddle.float32, fill_value=value, shape=shape)

    def _append_optimize_op(self, block: Any, param_and_grad: Tuple[paddle.Tensor, paddle.Tensor]) -> None:
        parameter, gradient = param_and_grad
        master = self._master_weights[parameter.name] if self._has_master(parameter) else None
        weight = parameter if master is None else master
        kept = {kind: self._get_accumulator_master(kind, parameter) for kind in self.kinds}
        new = self.updated(
            _float32(weight), _float32(gradient), self._create_param_lr(param_and_grad), kept, parameter.name
        )
        if master is not None:
            paddle.assign(new, master)
        paddle.assign(new.astype(parameter.dtype), parameter)


def _float32(tensor: paddle.Tensor) -> paddle.Tensor:
    return tensor if tensor.dtype == paddle.float32 else tensor.astype("float32")


class LionOptimizer(CustomOptimizer):
    """Lion, algorithm 2 of https://arxiv.org/abs/2302.06675.

    Args:
        beta1: of the gradient's part in the step.
        beta2: of the gradient's part in the momentum.
        weight_decay: coefficient.
        decayed: Paddle's names of the parameters that decay.
        multi_precision: keep float32 copies of half-precision weights.
        arguments: as for ``CustomOptimizer``.
    """

    kinds: ClassVar[Mapping[str, Tuple[Any, float]]] = {"momentum": (None, 0.0)}

    def __init__(
        self,
        beta1: float,
        beta2: float,
        weight_decay: float,
        decayed: List[str],
        multi_precision: bool,
        arguments: Mapping[str, Any],
    ) -> None:
        super().__init__(multi_precision, arguments)
        self._betas = beta1, beta2
        self._decay = dict.fromkeys(decayed, weight_decay)

    def updated(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        rate: paddle.Tensor,
        kept: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return w - rate (sign(beta1 m + (1 - beta1) g) + weight_decay w)."""
        (beta1, beta2), momentum = self._betas, kept["momentum"]
        direction = paddle.sign(beta1 * momentum + (1 - beta1) * gradient)
        paddle.assign(beta2 * momentum + (1 - beta2) * gradient, momentum)
        return weight - rate * (direction + self._decay.get(name, 0.0) * weight)


class NAdamOptimizer(CustomOptimizer):
    """Adam with Nesterov's momentum (https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ), as PyTorch computes it.

    Paddle has one since version 3, which keeps five numbers a weight for this one's two.

    Args:
        beta1: of the first moment.
        beta2: of the second moment.
        epsilon: added to the square root.
        momentum_decay: psi, how soon the momentum mu(t) = beta1 (1 - 0.96^(t psi) / 2) gets to beta1.
        multi_precision: keep float32 copies of half-precision weights.
        arguments: as for ``CustomOptimizer``.
    """

    kinds: ClassVar[Mapping[str, Tuple[Any, float]]] = {
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
        arguments: Mapping[str, Any],
    ) -> None:
        super().__init__(multi_precision, arguments)
        self._betas, self._epsilon, self._psi = (beta1, beta2), epsilon, momentum_decay

    def updated(
        self,
        weight: paddle.Tensor,
        gradient: paddle.Tensor,
        rate: paddle.Tensor,
        kept: Dict[str, paddle.Tensor],
        name: str,
    ) -> paddle.Tensor:
        """Return w - rate (mu(t+1) m / (1 - mu(1)...mu(t+1)) + (1 - mu(t)) g / (1 - mu(1)...mu(t))) / (sqrt(v) + e)."""
        beta1, beta2 = self._betas
        moment1, moment2, updates, product = (kept[kind] for kind in ("moment1", "moment2", "updates", "mu_product"))
        paddle.assign(updates + 1, updates)
        momentum, following = self._momentum(updates), self._momentum(updates + 1)
        paddle.assign(product * momentum, product)
        paddle.assign(beta1 * moment1 + (1 - beta1) * gradient, moment1)
        paddle.assign(beta2 * moment2 + (1 - beta2) * gradient * gradient, moment2)
        scale = paddle.sqrt(moment2 / (1 - beta2**updates)) + self._epsilon
        step = following / (1 - product * following) * moment1 + (1 - momentum) / (1 - product) * gradient
        return weight - rate * step / scale

    def _momentum(self, updates: paddle.Tensor) -> paddle.Tensor:
        return self._betas[0] * (1 - 0.5 * 0.96 ** (updates * self._psi))
