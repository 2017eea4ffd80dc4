"""Run model, losses and metrics on one image, before an earlier run's folder is moved.

Some mistakes show only where a model meets its images, or a loss its labels.
"""

from __future__ import annotations

from typing import Any, Optional

import paddle

from ppcls.config.schema import Config
from ppcls.data.loader import Batch, DataLoader
from ppcls.engine.criteria import build_loss, build_metrics
from ppcls.engine.distillation import Distillation
from ppcls.engine.model import require_static_shape
from ppcls.engine.state import TrainState
from ppcls.errors import ConfigError


def try_first_images(
    config: Config,
    state: TrainState,
    train_loader: DataLoader,
    eval_loader: Optional[DataLoader],
    distillation: Optional[Distillation] = None,
) -> None:
    """Run models, losses and metrics on an image of training, once for each size that it has, and on one of evaluation.

    Nothing is trained: the models are in evaluation mode, and losses and metrics are made for the trial.

    Raises:
        ConfigError: the images do not fit a model, or the labels a loss or a metric.
        DataError: the image is broken.
    """
    was_training = state.trained.training
    state.trained.eval()
    try:
        with paddle.no_grad():
            for batch in train_loader.trial_batches():
                _try(config, state, "Train", batch, train_loader, distillation)
            for batch in eval_loader.trial_batches() if eval_loader is not None else ():
                _try(config, state, "Eval", batch, eval_loader, None)
    finally:
        if was_training:
            state.trained.train()


def _try(
    config: Config, state: TrainState, mode: str, batch: Batch, loader: Any, distillation: Optional[Distillation]
) -> None:
    images = paddle.to_tensor(batch.images)
    labels = paddle.to_tensor(batch.labels)
    targets = labels if batch.targets is None else paddle.to_tensor(batch.targets)
    metrics = build_metrics(config, mode)
    criterion: Any = build_loss(config, mode, loader.dataset, loader.views if mode == "Train" else 1)
    try:
        logits = _forward(config, state, images)
        if distillation is not None:
            distillation.run_models(images)
            criterion = distillation
    except ConfigError as error:
        raise ConfigError(f"DataLoader.{mode}: {error}") from error.__cause__
    criterion.per_sample(logits, targets)
    metrics.update(logits[: len(batch.labels)].astype("float32"), labels)


def _forward(config: Config, state: TrainState, images: paddle.Tensor) -> paddle.Tensor:
    if config.Global.to_static:  # tracing takes seconds
        require_static_shape(config.Global.image_shape, images)
        return paddle.zeros([images.shape[0], config.Arch.class_num])
    with state.amp.eval_autocast():
        return state.model(images).astype("float32")
