"""Evaluation: every sample counted once."""

from __future__ import annotations

from typing import Any, Callable, Dict, Optional, cast

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.loader import DataLoader
from ppcls.engine import build, journal
from ppcls.utils.logging import get_logger


def evaluate(config: Config) -> Dict[str, float]:
    """Evaluate the recipe's weights on ``DataLoader.Eval``; return losses and metrics by name.

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    build.check_supported(config)
    build.set_device(config.Global.device)
    metrics = build.metrics(config, "Eval")
    with build.loader(config, "Eval") as loader:
        model = build.model(config)
        build.load_required_weights(config, model, "evaluate")
        result = run(model, loader, build.loss(config, "Eval"), metrics)
    get_logger().info("[Eval][Epoch 0][Avg]%s", journal.values_text(result))
    return result


def run(
    model: paddle.nn.Layer,
    loader: DataLoader,
    criterion: Any,
    metrics: Any,
    check: Optional[Callable[[], None]] = None,
) -> Dict[str, float]:
    """Evaluate ``model`` on one pass over ``loader``.

    Args:
        check: called after each batch; it may raise to end the evaluation.

    Returns:
        Losses averaged over samples, then metrics.
    """
    metrics.reset()
    sums: Dict[str, float] = {}
    count = 0
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            for batch in journal.progress(loader.epoch(0), "evaluation", len(loader)):
                logits = model(paddle.to_tensor(batch.images))
                losses = criterion(logits, paddle.to_tensor(batch.labels))
                add(sums, losses, len(batch.labels))
                count += len(batch.labels)
                metrics.update(np.asarray(logits.astype("float32")), batch.labels)
                if check is not None:
                    check()
    finally:
        if was_training:
            model.train()
    return {**{name: value / count for name, value in sums.items()}, **metrics.result()}


def add(sums: Dict[str, float], losses: Dict[str, paddle.Tensor], samples: int) -> None:
    """Add batch means, weighted by the batch's size, to running sums."""
    for name, value in losses.items():
        sums[name] = sums.get(name, 0.0) + cast(float, value.item()) * samples
