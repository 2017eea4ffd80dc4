"""Mixed precision: half-precision arithmetic where it is safe, with the loss scaled so that small gradients survive.

On GPUs by Paddle's autocast and scaler. On CPUs, which have no half-precision operators in dygraph, by the project's
own: matrix products and dense convolutions read inputs rounded to bfloat16, and everything else is float32.

Follows Paddle's guide, https://www.paddlepaddle.org.cn/documentation/docs/en/guides/performance_improving/amp_en.html.
"""

from __future__ import annotations

import contextlib
from typing import Any, ContextManager, Dict, Mapping, Optional

import paddle

from ppcls.arch import ops
from ppcls.arch.layers import CycleFC
from ppcls.arch.layers.modules import Conv2D, Linear
from ppcls.config.schema import AMPSection, Config
from ppcls.utils import environment
from ppcls.utils.logging import get_logger, warn_once

_ROUNDING_LAYERS = (Linear, Conv2D, CycleFC)


class MixedPrecision:
    """Mixed precision for training; without ``AMP`` everything is computed in float32.

    Args:
        settings: the recipe's ``AMP``, None for float32.
        model: with level O2 its weights become half precision, and the optimizer keeps float32 copies.
        optimizer: of the model; None for an evaluation.
        to_static: whether the model computes as a static graph.
    """

    def __init__(
        self,
        settings: Optional[AMPSection],
        model: paddle.nn.Layer,
        optimizer: Optional[paddle.optimizer.Optimizer],
        to_static: bool = False,
    ) -> None:
        wanted = settings is not None and settings.use_amp
        self._unused_reason = unused_reason(settings, model, to_static)
        self._rounds_products = _is_wanted_on_cpu(settings) and self._unused_reason is None
        self._settings = settings if wanted and paddle.get_device() != "cpu" else None
        self._scaler: Any = None
        if self._settings is None:
            return
        self._dtype = "float16" if self._settings.dtype == "auto" else self._settings.dtype
        if self._settings.level == "O2":
            paddle.amp.decorate(model, optimizer, level="O2", dtype=self._dtype, master_weight=True)
        self._scaler = paddle.amp.GradScaler(
            enable=self._dtype == "float16",  # bfloat16 has float32's range
            init_loss_scaling=self._settings.scale_loss,
            use_dynamic_loss_scaling=self._settings.use_dynamic_loss_scaling,
        )

    def log(self) -> None:
        """Say in the log what is computed in half precision, or why nothing is."""
        if self._unused_reason is not None:
            warn_once("AMP has no effect: %s; everything is computed in float32", self._unused_reason)
        elif self._rounds_products:
            get_logger().info("AMP: products are computed in bfloat16, all else in float32")

    def autocast(self) -> ContextManager[None]:
        """Return the context in which the model and the loss are computed."""
        if self._rounds_products:
            return ops.bfloat16_products()
        settings = self._settings
        if settings is None:
            return contextlib.nullcontext()
        return paddle.amp.auto_cast(level=settings.level, dtype=self._dtype, use_promote=settings.use_promote)

    def eval_autocast(self) -> ContextManager[None]:
        """Return the autocast context for evaluation: that of training on CPUs and where weights are half-precision."""
        settings = self._settings
        half = self._rounds_products or (settings is not None and (settings.level == "O2" or settings.use_fp16_test))
        return self.autocast() if half else contextlib.nullcontext()

    def backward(self, loss: paddle.Tensor) -> None:
        """Add the gradients of a loss, scaled."""
        (loss if self._scaler is None else self._scaler.scale(loss)).backward()

    def step(self, optimizer: paddle.optimizer.Optimizer) -> None:
        """Update the weights; with dynamic scaling not, if a gradient overflowed."""
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(optimizer)
            self._scaler.update()
        _clear_gradients(optimizer)

    def can_skip_update(self) -> bool:
        """Return whether a loss that is not finite only costs an update, which dynamic scaling leaves out.

        Not for ever: it halves the scale each time, and where a scale below 1 does not help something else is wrong.
        """
        if self._scaler is None or not self._scaler.is_use_dynamic_loss_scaling():
            return False
        scale = float(self._scaler.state_dict()["scale"][0])
        get_logger().warning("the loss is not finite: no update; the scale of the loss is %g", scale)
        return scale >= 1

    def state_dict(self) -> Optional[Dict[str, Any]]:
        """Return what a checkpoint keeps, as JSON holds it; None where nothing is scaled."""
        if self._scaler is None:
            return None
        state = dict(self._scaler.state_dict())
        return {**state, "scale": [float(value) for value in state["scale"]]} if state else None

    def load_state_dict(self, state: Optional[Mapping[str, Any]]) -> None:
        """Continue from what ``state_dict`` returned."""
        if self._scaler is not None and state:
            self._scaler.load_state_dict(dict(state))


def unused_reason(settings: Optional[AMPSection], model: paddle.nn.Layer, to_static: bool = False) -> Optional[str]:
    """Return why ``AMP`` has no effect on this device; None where it has, or is not asked for.

    Args:
        model: that is computed.
        to_static: whether it computes as a static graph.
    """
    if settings is None or not _is_wanted_on_cpu(settings):
        return None
    if settings.dtype == "float16":
        return "CPUs do not compute in float16; use AMP.dtype: auto"
    if not environment.has_bfloat16():
        return "this processor has no instructions for bfloat16"
    if not ops.available():
        return f"it needs the project's CPU operators ({ops.describe()})"
    if to_static:
        return "with Global.to_static, Paddle's own operators compute, which have no bfloat16 on CPUs"
    if not any(isinstance(layer, _ROUNDING_LAYERS) for layer in model.sublayers(include_self=True)):
        return "the model computes with Paddle's own layers, which have no bfloat16 on CPUs"
    return None


def evaluation_context(config: Config, model: paddle.nn.Layer) -> ContextManager[None]:
    """Return the context in which an evaluation on its own computes the model, and log it: on CPUs that of training."""
    if not _is_wanted_on_cpu(config.AMP):
        return contextlib.nullcontext()
    amp = MixedPrecision(config.AMP, model, None, config.Global.to_static)
    amp.log()
    return amp.autocast()


def _is_wanted_on_cpu(settings: Optional[AMPSection]) -> bool:
    return settings is not None and settings.use_amp and paddle.get_device() == "cpu"


def full_precision(model: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer) -> Dict[str, paddle.Tensor]:
    """Return the model's tensors, those of level O2 as the float32 copies that the optimizer updates."""
    masters = getattr(optimizer, "_master_weights", {})  # by Paddle's names; it has no public way to them
    return {name: masters.get(tensor.name, tensor) for name, tensor in model.state_dict().items()}


def _clear_gradients(optimizer: paddle.optimizer.Optimizer) -> None:
    """Forget the gradients of an update."""
    if paddle.get_device() == "cpu" and isinstance(optimizer, paddle.optimizer.Optimizer):
        # Zeros would be written, added to, and keep their memory during the forward pass: 2 % of a step.
        optimizer.clear_grad(set_to_zero=False)
    else:
        optimizer.clear_grad()
