"""Lion, which Paddle does not have."""

from __future__ import annotations

from typing import Any, List, Set, Tuple

import paddle


class Lion(paddle.optimizer.Optimizer):
    """EvoLved sIgn mOmeNtum (https://arxiv.org/abs/2302.06675, algorithm 2).

    c = beta1 m + (1 - beta1) g;  p <- p - lr (sign(c) + weight_decay p);  m <- beta2 m + (1 - beta2) g

    Args:
        learning_rate: of the first update.
        beta1: of what the step is the sign of.
        beta2: of the momentum.
        weight_decay: decoupled.
        decayed: Paddle's names of the parameters that are decayed.
        parameters: what is updated.
        grad_clip: Paddle's clipping, None for none.
    """

    _moment = "moment"

    def __init__(
        self,
        learning_rate: float,
        beta1: float,
        beta2: float,
        weight_decay: float,
        decayed: Set[str],
        parameters: List[paddle.Tensor],
        grad_clip: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, parameters=parameters, grad_clip=grad_clip)
        self.type = "lion"
        self._betas = (beta1, beta2)
        self._decay = weight_decay
        self._decayed = decayed

    def _create_accumulators(self, block: Any, parameters: List[paddle.Tensor]) -> None:
        """Make the momentum of parameters that have none; called by Paddle."""
        for parameter in parameters:
            if parameter.name not in self._accumulators.get(self._moment, {}):
                self._add_accumulator(self._moment, parameter)

    def _append_optimize_op(self, block: Any, param_and_grad: Tuple[paddle.Tensor, paddle.Tensor]) -> None:
        """Update one parameter in place; called by Paddle."""
        parameter, gradient = param_and_grad
        moment = self._get_accumulator(self._moment, parameter)
        rate = self._create_param_lr(param_and_grad)
        beta1, beta2 = self._betas
        with paddle.no_grad():
            step = paddle.sign(beta1 * moment + (1 - beta1) * gradient)
            if self._decay and parameter.name in self._decayed:
                step = step + self._decay * parameter
            parameter.set_value(parameter - rate * step)
            moment.set_value(beta2 * moment + (1 - beta2) * gradient)
