"""Losses and metrics of a recipe."""

from __future__ import annotations

from typing import List, Optional, Union

from ppcls import loss as losses
from ppcls import metric as metrics
from ppcls.config.fields import Component
from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.engine.answers import require_losses_for_labels
from ppcls.errors import ConfigError
from ppcls.loss import CombinedLoss, MultiViewLoss
from ppcls.metric import CombinedMetric
from ppcls.utils.logging import warn_once


def build_metrics(config: Config, mode: str) -> CombinedMetric:
    """Build the metrics of ``Metric.Train`` or ``Metric.Eval``.

    Raises:
        ConfigError: a metric is for another kind of labels, or needs another number of classes, than the recipe has; or
            it has nothing to log during training.
    """
    components = eval_metrics(config) if mode == "Eval" else config.Metric.Train or []
    combined = metrics.build_metrics(components)
    for index, (name, metric) in enumerate(combined.metrics.items()):
        _check_metric(config, mode, index, name, metric)
    without_numbers = [name for name, metric in combined.metrics.items() if not metric.names]
    if mode == "Train" and without_numbers:
        raise ConfigError(
            f"{config.where('Metric', mode)}: Metric.Train: {without_numbers[0]} reports no number, and training logs "
            "numbers only; put it in Metric.Eval"
        )
    return combined


def eval_metrics(config: Config) -> List[Component]:
    """Return ``Metric.Eval``, or the metric that is the default for the recipe's kind of labels."""
    if config.Metric.Eval is not None:
        return config.Metric.Eval
    if config.Global.use_multilabel:
        return [{"MultiLabelMAP": None}]
    return [{"TopkAcc": {"topk": sorted({1, min(5, config.Arch.class_num)})}}]


def log_reduced_topk(config: Config) -> None:
    """Say which top-k accuracies of the evaluation are reported under another name, as there are fewer classes."""
    renamed = build_metrics(config, "Eval").renamed
    if renamed:
        warn_once(
            "%s: Metric.Eval: with %d classes %s",
            config.where("Metric", "Eval"),
            config.Arch.class_num,
            ", ".join(f"{old} is reported as {new}" for old, new in renamed.items()),
        )


def _check_metric(config: Config, mode: str, index: int, name: str, metric: metrics.Metric) -> None:
    reason = "Global", "use_multilabel"
    try:
        metric.check_labels(multi_label=config.Global.use_multilabel)
        reason = "Arch", "class_num"
        metric.check(config.Arch.class_num)
    except ConfigError as error:
        raise ConfigError(
            f"{config.where('Metric', mode, index)}: Metric.{mode}: {name}: {error} "
            f"({'.'.join(reason)}: {config.where(*reason)})"
        ) from error.__cause__


def build_loss(
    config: Config, mode: str, dataset: Optional[Dataset] = None, views: int = 1
) -> Union[CombinedLoss, MultiViewLoss]:
    """Build the losses of ``Loss.Train`` or ``Loss.Eval``.

    Args:
        dataset: the data of ``mode``, for what follows from their labels; None for losses of which only the names are
            needed.
        views: number of images that the data loader makes of each one.

    Raises:
        ConfigError: a loss needs another number of classes or views, another kind of labels, or training data.
    """
    train_labels = dataset.labels if dataset is not None and mode == "Train" else None
    label_ratio = dataset.label_ratio if dataset is not None else None
    try:
        built = losses.build_loss(
            getattr(config.Loss, mode), config.Arch.class_num, train_labels, label_ratio, config.student
        )
        for name, loss in zip(built.names, built.losses):
            losses.require_views(name, loss, views)
    except ConfigError as error:
        raise ConfigError(f"Loss.{mode}: {error}") from error.__cause__
    require_losses_for_labels(config, built, mode)
    if dataset is not None and label_ratio is None:
        _refuse_weight_ratio(config, built, mode)
    return built if views == 1 else MultiViewLoss(built, views)


def _refuse_weight_ratio(config: Config, built: CombinedLoss, mode: str) -> None:
    """Raise a ConfigError where a loss weights classes by their share of the data, which it does not get."""
    for index, (name, loss) in enumerate(zip(built.names, built.losses)):
        if getattr(loss, "weight_ratio", False):
            path = ("Loss", mode, index, name, "weight_ratio")
            where = config.where("DataLoader", mode, "dataset", "label_ratio")
            raise ConfigError(
                f"{config.where(*path)}: Loss.{mode}: {name}.weight_ratio: needs the data set's label_ratio: true "
                f"(DataLoader.{mode}.dataset.label_ratio: {where})"
            )
