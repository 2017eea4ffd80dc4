"""What Python code gives to a training: a model, data sets and callbacks."""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass, replace
from typing import Any, Optional, Sequence

import paddle

from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.errors import ConfigError
from ppcls.registry.failures import describe_if_imported


@dataclass(frozen=True)
class Supplied:
    """What Python code gives to a training, in place of what the recipe names or besides it.

    Attributes:
        model: instead of ``Arch``; trained in place.
        train_dataset: instead of ``DataLoader.Train.dataset``.
        eval_dataset: instead of ``DataLoader.Eval.dataset``.
        callbacks: called after those of the recipe.
        opened_dataset: the training data, where they were opened before they are loaded.
        notes: lines for the run's log: what was chosen where the recipe says nothing.
    """

    model: Optional[paddle.nn.Layer] = None
    train_dataset: Optional[Dataset] = None
    eval_dataset: Optional[Dataset] = None
    callbacks: Sequence[Any] = ()
    opened_dataset: Optional[Dataset] = None
    notes: Sequence[str] = ()

    def with_model_copy(self) -> Supplied:
        """Return the same with a copy of the model, which may be frozen or converted without changing the model.

        Raises:
            ConfigError: the model cannot be copied.
        """
        return self if self.model is None else replace(self, model=copy_model(self.model))


def copy_model(model: paddle.nn.Layer) -> paddle.nn.Layer:
    """Return a copy of a model that Python code gave.

    Raises:
        ConfigError: it cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ConfigError(
            f"model: {type(model).__name__} cannot be copied by copy.deepcopy: {type(error).__name__}: {error}"
        ) from error


def copy_weights(source: paddle.nn.Layer, target: paddle.nn.Layer) -> None:
    """Set the weights of ``target`` to those of ``source``, a copy of it, in the types that they have in ``target``."""
    weights = source.state_dict()
    with paddle.no_grad():
        for name, tensor in target.state_dict().items():
            tensor.set_value(weights[name].astype(tensor.dtype))


def require_layer(model: Any) -> None:
    """Refuse what is given as a model and is none.

    Raises:
        ConfigError: it is neither None nor a layer.
    """
    if model is None or isinstance(model, paddle.nn.Layer):
        return
    what = f"the class {model.__name__}: give an instance" if inspect.isclass(model) else type(model).__name__
    raise ConfigError(f"model: expected a paddle.nn.Layer, not {what}")


def require_logits(model: paddle.nn.Layer, config: Config) -> None:
    """Try a model of the user's on one black image.

    Raises:
        ConfigError: it does not turn images [B, C, H, W] into logits [B, class_num].
    """
    shape = [1, *config.Global.image_shape]
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            logits = model(paddle.zeros(shape))
    except Exception as error:
        if isinstance(error, MemoryError):
            raise
        raise ConfigError(
            f"model: {type(model).__name__} fails on images of Global.image_shape {list(config.Global.image_shape)}: "
            f"{describe_if_imported(error) or _first_reason(error)}"
        ) from error
    finally:
        if was_training:
            model.train()
    expected = [1, config.Arch.class_num]
    found = list(logits.shape) if isinstance(logits, paddle.Tensor) else type(logits).__name__
    if found != expected:
        raise ConfigError(
            f"model: {type(model).__name__} must give logits {expected} of one image, not {found}; the number of "
            f"classes is Arch.class_num, {config.Arch.class_num} ({config.where('Arch', 'class_num')})"
        )


def _first_reason(error: Exception) -> str:
    """Return the type of an error and the line that says what is wrong: Paddle surrounds it with others."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = next((line for line in lines if line.startswith("(")), lines[0] if lines else "")
    return f"{type(error).__name__}: {reason}"
