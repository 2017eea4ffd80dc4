"""What is minimised and what is measured: the losses and metrics of a recipe."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ppcls import loss as losses
from ppcls import metric as metrics
from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.errors import ConfigError
from ppcls.loss import CombinedLoss
from ppcls.metric import CombinedMetric


def build_metrics(config: Config, mode: str) -> CombinedMetric:
    """Build the metrics of ``Metric.Train`` or ``Metric.Eval``, checked against the class count.

    Raises:
        ConfigError: a metric makes no sense for this many classes, or has nothing to log during training.
    """
    components = getattr(config.Metric, mode)
    if components is None:
        components = [{"TopkAcc": {"topk": sorted({1, min(5, config.Arch.class_num)})}}] if mode == "Eval" else []
    combined = metrics.build_metrics(components)
    try:
        combined.check(config.Arch.class_num)
    except ConfigError as error:
        raise ConfigError(f"Metric.{mode}: {error} ({config.where('Arch', 'class_num')})") from None
    without_numbers = [name for name, metric in combined.metrics.items() if not metric.names]
    if mode == "Train" and without_numbers:
        raise ConfigError(
            f"{config.where('Metric', mode)}: Metric.Train: {without_numbers[0]} reports no number, and training logs "
            "numbers only; put it in Metric.Eval"
        )
    return combined


def check_labels(config: Config, mode: str, dataset: Dataset) -> None:
    """Make sure that the metrics of ``Metric.Train`` or ``Metric.Eval`` are for the labels of a data set.

    Raises:
        ConfigError: a metric is for data with several labels per image and the data set has one, or the reverse.
    """
    try:
        build_metrics(config, mode).check_labels(multi_label=dataset.labels.ndim == 2)
    except ConfigError as error:
        raise ConfigError(f"{config.where('Metric', mode)}: Metric.{mode}: {error}") from error.__cause__


def build_loss(config: Config, mode: str, train_labels: Optional[np.ndarray] = None) -> CombinedLoss:
    """Build the losses of ``Loss.Train`` or ``Loss.Eval``.

    Args:
        train_labels: of the training data, [N] int64, for what follows from them.

    Raises:
        ConfigError: a loss makes no sense for this many classes, or without training data.
    """
    try:
        return losses.build_loss(getattr(config.Loss, mode), config.Arch.class_num, train_labels)
    except ConfigError as error:
        raise ConfigError(f"Loss.{mode}: {error}") from error.__cause__
