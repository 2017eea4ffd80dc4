"""Evaluation: every sample counted once."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, Optional

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.loader import DataLoader
from ppcls.engine import build, metrics_log, reduction
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger


def evaluate(config: Config) -> Dict[str, float]:
    """Evaluate the recipe's weights on ``DataLoader.Eval``; return losses and metrics by name, in every process.

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    build.start(config)
    metrics = build.metrics(config, "Eval")
    build.fetch_weights(config)
    with contextlib.ExitStack() as stack:
        with distributed.errors_on_all_ranks():
            loader = stack.enter_context(build.loader(config, "Eval"))
            model = build.model(config)
            build.load_required_weights(config, model, "evaluate")
        distributed.require_equal_on_ranks("numbers of images", len(loader.dataset))
        result = run(model, loader, build.loss(config, "Eval"), metrics)
    get_logger().info("[Eval][Epoch 0][Avg]%s", metrics_log.values_text(result))
    return result


def run(
    model: paddle.nn.Layer,
    loader: DataLoader,
    criterion: Any,
    metrics: Any,
    check: Optional[Callable[[], None]] = None,
) -> Dict[str, float]:
    """Evaluate ``model`` on one pass over ``loader``; a collective.

    Args:
        check: called after each batch; it may raise to end the evaluation.

    Returns:
        Losses averaged over the samples of all processes, then metrics.
    """
    metrics.reset()
    losses = reduction.SampleLosses(criterion.names, len(loader.dataset))
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            for batch in metrics_log.progress(distributed.synchronized(loader.epoch(0)), "evaluation", len(loader)):
                if len(batch.labels):  # the last batch may not suffice for all processes
                    logits = model(paddle.to_tensor(batch.images))
                    losses.add(batch.indices, criterion.parts(logits, paddle.to_tensor(batch.labels)))
                    metrics.update(np.asarray(logits.astype("float32")), batch.labels)
                if check is not None:
                    check()
    finally:
        if was_training:
            model.train()
    metrics.load_state(reduction.total_counts(metrics.state()))
    return {**losses.means(), **metrics.result()}
