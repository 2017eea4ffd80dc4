"""Evaluation: every sample counted once."""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Any, Callable, Dict, Mapping, Optional, Sequence

import paddle

from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.data.loader import DataLoader
from ppcls.engine import amp, criteria, device, preprocessing
from ppcls.engine.answers import build_postprocess
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.checks import require_split
from ppcls.engine.class_count import for_weights
from ppcls.engine.data import build_loader, open_dataset
from ppcls.engine.label_names import match_classes, model_classes
from ppcls.engine.memory import explain_evaluation_memory
from ppcls.engine.model import build_model, fetch_weights, load_required_weights
from ppcls.engine.predictions import PredictionRecorder
from ppcls.engine.progress import format_values, progress_bar
from ppcls.engine.reduction import SampleLosses
from ppcls.engine.tta import AveragedViews
from ppcls.errors import CheckpointError, WeightsError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger, repeats_dropped

_TAG = "[Eval]"


@repeats_dropped()
def evaluate(config: Config) -> Dict[str, Any]:
    """Evaluate the recipe's weights on ``DataLoader.Eval``; return losses and metrics by name, in every process.

    What metrics report that is not one number, such as a confusion matrix, is in "details", by the metric's name. With
    ``Infer.tta`` the metrics of test-time augmentation are in "tta".

    Raises:
        ConfigError, DataError, WeightsError: as their messages say.
    """
    device.setup_device(config)
    fetch_weights(config)
    with contextlib.ExitStack() as stack:
        with distributed.errors_on_all_ranks():
            dataset = open_dataset(config, "Eval")
            config = for_weights(config, data_first=True)
            metrics = criteria.build_metrics(config, "Eval")
            criteria.log_reduced_topk(config)
            model = build_model(config)
            weights = load_required_weights(config, model, "evaluate")
            tag = log_tag(weights)
            ops = require_split(config, "Eval").dataset.transform_ops
            preprocessing.require_as_trained(config, ops, preprocessing.EVAL, weights)
            classes = model_classes(config, weights)
            if classes is not None and classes.names is not None:
                build_postprocess(config, list(classes.names))  # it may name classes that are not there
            align = functools.partial(match_classes, config, classes, "the model")
            loader = stack.enter_context(build_loader(config, "Eval", dataset, align))
            views = open_views(config, loader.dataset, stack)
        distributed.require_equal_on_ranks("numbers of images", len(loader.dataset))
        with explain_evaluation_memory(config), amp.evaluation_context(config, model):
            criterion = criteria.build_loss(config, "Eval", loader.dataset)
            result = evaluate_model(model, loader, criterion, metrics)
            get_logger().info("%s[Avg]%s", tag, format_values(result))
            names = loader.dataset.class_names or (classes.names if classes is not None else None)
            result = with_details(result, metrics.details(complete_names(config, names)))
            return {**result, **evaluate_views(config, model, views, criterion, metrics, tag)}


def log_tag(weights: str) -> str:
    """Return how the log lines of an evaluation begin: "[Eval][Epoch 7]", or "[Eval]" where no epoch is known.

    Args:
        weights: their path; only a checkpoint that was saved at the end of an epoch is of that epoch.
    """
    try:
        states = checkpoint.read_states(checkpoint.strip_suffix(weights))
    except CheckpointError:  # a file of weights alone
        return _TAG
    is_of_epoch = states["epoch"] and not states["batch"] and "averaged" not in states
    return f"{_TAG}[Epoch {states['epoch']}]" if is_of_epoch else _TAG


def open_views(config: Config, dataset: Dataset, stack: contextlib.ExitStack) -> Optional[DataLoader]:
    """Return the loader of ``Infer.tta``, which ``stack`` closes; None without test-time augmentation.

    Args:
        dataset: with the class ids of the model.

    Raises:
        ConfigError: the transforms of ``DataLoader.Eval`` cannot make such views.
    """
    kind = config.Infer.tta
    return None if kind == "none" else stack.enter_context(build_loader(config, "Eval", dataset, tta=kind))


def evaluate_views(
    config: Config,
    model: paddle.nn.Layer,
    loader: Optional[DataLoader],
    criterion: Any,
    metrics: Any,
    tag: str = _TAG,
) -> Dict[str, Any]:
    """Return {"tta": {"views", and the metrics of averaged probabilities}}; nothing without a loader; a collective.

    Losses are not among them: they may depend on logits, and probabilities are averaged.

    Args:
        model: gives logits.
        loader: from ``open_views``.
        tag: from ``log_tag``.

    Raises:
        WeightsError: outputs or losses are not finite.
    """
    if loader is None:
        return {}
    averaged = AveragedViews(model, loader.views, config.Global.use_multilabel)
    values = evaluate_model(averaged, loader, criterion, metrics)
    values = {name: values[name] for name in metrics.names}
    get_logger().info("%s[tta: %s]%s", tag, config.Infer.tta, format_values(values))
    return {"tta": {"views": config.Infer.tta, **values}}


def with_details(values: Mapping[str, Any], details: Mapping[str, Any]) -> Dict[str, Any]:
    """Return values with ``CombinedMetric.details`` under their own key, where there are any."""
    return {**values, **({"details": dict(details)} if details else {})}


def complete_names(config: Config, names: Optional[Sequence[str]]) -> Optional[Sequence[str]]:
    """Return the names of the classes if there is one for each, else None."""
    return names if names is not None and len(names) == config.Arch.class_num else None


def evaluate_model(
    model: paddle.nn.Layer,
    loader: DataLoader,
    criterion: Any,
    metrics: Any,
    check: Optional[Callable[[], None]] = None,
    require_finite: bool = True,
    recorder: Optional[PredictionRecorder] = None,
) -> Dict[str, float]:
    """Evaluate ``model`` on one pass over ``loader``; a collective.

    Args:
        check: called after each batch; it may raise to end the evaluation.
        require_finite: whether outputs that are not finite are an error; else the log says it, and all values are NaN.
        recorder: keeps the answers for each image, those of an earlier evaluation no longer.

    Returns:
        Losses averaged over the samples of all processes, then metrics.

    Raises:
        WeightsError: outputs or losses are not finite.
    """
    broken: Any = 0  # images whose outputs are not finite; a tensor, where the logits are
    metrics.reset()
    take = _ignore if recorder is None else recorder.begin()
    losses = SampleLosses(criterion.names, len(loader.dataset))
    was_training = model.training
    model.eval()
    try:
        with paddle.no_grad():
            for batch in progress_bar(distributed.synchronized(loader.epoch(0)), "evaluation", len(loader)):
                if len(batch.labels):  # the last batch may not suffice for all processes
                    logits, labels = model(paddle.to_tensor(batch.images)), paddle.to_tensor(batch.labels)
                    broken = broken + (~paddle.isfinite(logits).all(axis=1)).astype("int64").sum()
                    losses.add(batch.indices, criterion.per_sample(logits, labels))
                    logits = logits.astype("float32")
                    metrics.update(logits, labels)
                    take(batch.indices, logits, labels)
                if check is not None:
                    check()
    finally:
        if was_training:
            model.train()
    averages = losses.means()
    problem = _describe_not_finite(sum(distributed.all_gather(int(broken))), len(loader.dataset), averages)
    if problem is None:
        return {**averages, **metrics.global_result()}
    if require_finite:
        raise distributed.mark_on_all_ranks(
            WeightsError(f"{problem}: the model's weights are damaged, or training diverged; use other weights")
        )
    get_logger().warning("%s: this evaluation has no result", problem)
    return dict.fromkeys([*averages, *metrics.names], math.nan)


def _ignore(indices: Any, logits: Any, labels: Any) -> None:
    """Keep nothing of a batch."""


def _describe_not_finite(broken: int, images: int, losses: Mapping[str, float]) -> Optional[str]:
    """Return what is not finite in an evaluation, None where everything is."""
    if broken:
        return f"the model's outputs are not finite for {broken} of {images} images"
    wrong = [f"{name} is {value}" for name, value in losses.items() if not math.isfinite(value)]
    return f"in the evaluation {wrong[0]}" if wrong else None
