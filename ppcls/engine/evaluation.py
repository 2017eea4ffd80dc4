"""Evaluation: every sample counted once."""

from __future__ import annotations

import contextlib
from typing import Any, Callable, Dict, List, Mapping, Optional

import paddle

from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.data.loader import DataLoader
from ppcls.engine import criteria, device
from ppcls.engine.data import build_loader
from ppcls.engine.label_names import class_names
from ppcls.engine.memory import explain_evaluation_memory
from ppcls.engine.model import build_model, fetch_weights, load_required_weights
from ppcls.engine.progress import format_values, progress_bar
from ppcls.engine.reduction import SampleLosses
from ppcls.errors import DataError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger


def evaluate(config: Config) -> Dict[str, Any]:
    """Evaluate the recipe's weights on ``DataLoader.Eval``; return losses and metrics by name, in every process.

    What metrics report that is not one number, such as a confusion matrix, is in "details", by the metric's name.

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    device.setup_device(config)
    metrics = criteria.build_metrics(config, "Eval")
    fetch_weights(config)
    with contextlib.ExitStack() as stack:
        with distributed.errors_on_all_ranks():
            loader = stack.enter_context(build_loader(config, "Eval"))
            model = build_model(config)
            weights = load_required_weights(config, model, "evaluate")
        distributed.require_equal_on_ranks("numbers of images", len(loader.dataset))
        with explain_evaluation_memory(config):
            result = evaluate_model(model, loader, criteria.build_loss(config, "Eval", loader.dataset), metrics)
        names = _class_names(config, loader.dataset, weights)
    get_logger().info("[Eval][Epoch 0][Avg]%s", format_values(result))
    return with_details(result, metrics.details(names))


def with_details(values: Mapping[str, Any], details: Mapping[str, Any]) -> Dict[str, Any]:
    """Return values with ``CombinedMetric.details`` under their own key, where there are any."""
    return {**values, **({"details": dict(details)} if details else {})}


def complete_names(config: Config, names: Optional[List[str]]) -> Optional[List[str]]:
    """Return the names of the classes if there is one for each, else None."""
    return names if names is not None and len(names) == config.Arch.class_num else None


def _class_names(config: Config, dataset: Dataset, weights: str) -> Optional[List[str]]:
    """Return the names of the classes: the data set's, else those of the recipe's file or of the weights."""
    names = dataset.class_names
    if names is None:
        try:
            names = class_names(config, weights=weights)
        except DataError as error:  # the numbers are right without them
            get_logger().warning("%s", error)
    return complete_names(config, names)


def evaluate_model(
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
    losses = SampleLosses(criterion.names, len(loader.dataset))
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            for batch in progress_bar(distributed.synchronized(loader.epoch(0)), "evaluation", len(loader)):
                if len(batch.labels):  # the last batch may not suffice for all processes
                    logits, labels = model(paddle.to_tensor(batch.images)), paddle.to_tensor(batch.labels)
                    losses.add(batch.indices, criterion.per_sample(logits, labels))
                    metrics.update(logits.astype("float32"), labels)
                if check is not None:
                    check()
    finally:
        if was_training:
            model.train()
    return {**losses.means(), **metrics.global_result()}
