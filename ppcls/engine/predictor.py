"""A predictor that runs the weights of a checkpoint."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Iterator, Optional

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.engine import device
from ppcls.engine.class_count import for_weights
from ppcls.engine.inference import load_pipeline
from ppcls.engine.memory import explain_inference_memory
from ppcls.engine.model import build_model
from ppcls.engine.supplied import require_layer
from ppcls.errors import ConfigError
from ppcls.inference.predictor import BasePredictor


class CheckpointPredictor(BasePredictor):
    """Runs the weights that a recipe names, as ``Predictor`` runs an exported model.

    Attributes:
        config: the recipe.
        model: the model with its weights.

    Args:
        config: the recipe, with the weights in ``Global.pretrained_model``.
        batch_size: images that go through the model together; None takes the recipe's.
        topk: classes in an answer, or all where there are fewer; None takes the recipe's.
        model: takes the weights; None builds the recipe's.

    Raises:
        ConfigError, DataError, WeightsError, MachineError: as their messages say.
    """

    def __init__(
        self,
        config: Config,
        batch_size: Optional[int] = None,
        topk: Optional[int] = None,
        model: Optional[paddle.nn.Layer] = None,
    ) -> None:
        require_layer(model)
        device.setup_device(config)
        self.config = for_weights(config)
        self.model = build_model(self.config) if model is None else model
        self.pipeline = load_pipeline(self.config, batch_size, topk, self.model)
        self.backend, self.device, self.precision = "paddle", str(paddle.get_device()), "float32"
        self.backend_label = f"{self.backend} on {self.device}"

    def feature_run(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return a function from a batch of prepared images to features; see ``feature_function``."""
        return feature_function(self.model)


def feature_function(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a batch of prepared images to features [B, num_features] float32.

    They are what the model's classifier gets: ``forward_head`` without the head or, of a model without
    ``forward_head``, the mean of ``forward_features`` over the positions.

    Raises:
        ConfigError: the model has no ``forward_features``.
    """
    if not callable(getattr(model, "forward_features", None)):
        raise ConfigError(
            f"{type(model).__name__} gives no features: it needs a method forward_features(images), which "
            f"returns them as [B, C, H, W] or [B, C]; ppcls.arch.Backbone has one"
        )

    def run(batch: np.ndarray) -> np.ndarray:
        with paddle.no_grad(), explain_inference_memory(len(batch)):
            return np.asarray(_pooled_features(model, paddle.to_tensor(batch)).astype("float32"))

    model.eval()
    return run


def _pooled_features(model: Any, images: paddle.Tensor) -> paddle.Tensor:
    """Return what the classifier gets, [B, C]."""
    features = model.forward_features(images)
    if callable(getattr(model, "forward_head", None)) and hasattr(model, "head"):
        with _without_head(model):
            features = model.forward_head(features)
    elif isinstance(features, paddle.Tensor) and features.ndim == 4:
        features = features.mean([2, 3])
    if not isinstance(features, paddle.Tensor) or features.ndim != 2:
        found = list(features.shape) if isinstance(features, paddle.Tensor) else type(features).__name__
        raise ConfigError(f"{type(model).__name__}.forward_features must return [B, C, H, W] or [B, C], not {found}")
    return features


@contextlib.contextmanager
def _without_head(model: Any) -> Iterator[None]:
    head = model.head
    model.head = None
    try:
        yield
    finally:
        model.head = head
