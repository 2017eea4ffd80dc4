"""Metrics of multi-label data, under PaddleClas's names."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Optional, Sequence, Union

import numpy as np
import paddle

from ppcls.errors import ConfigError
from ppcls.metric.predictions import Threshold, count_values, predicted_labels
from ppcls.metric.registry import METRICS
from ppcls.metric.sums import SumMetric, Sums
from ppcls.registry.checks import require_choice, require_fraction, require_int


class _MultiLabelMetric(SumMetric):
    """Base class. A label is predicted if its probability, the sigmoid of its logit, is above a threshold.

    A label whose logit is NaN counts as predicted wrongly.
    """

    single_label: ClassVar[bool] = False
    multi_label: ClassVar[bool] = True

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return [type(self).__name__]


class _ThresholdMetric(_MultiLabelMetric):
    """Base class with one threshold for all labels, or one for each."""

    def __init__(self, threshold: Union[float, Sequence[float]]) -> None:
        super().__init__()
        self._threshold = Threshold(threshold)

    def check(self, class_num: int) -> None:
        """Make sure that there is one threshold for each class, if there are several.

        Raises:
            ConfigError: there is not.
        """
        self._threshold.check(class_num)

    def _wrong(self, logits: paddle.Tensor, targets: paddle.Tensor) -> paddle.Tensor:
        """Return which labels are predicted wrongly, [B, K] int64."""
        return paddle.logical_xor(self._threshold.predict(logits, targets), targets).astype("int64")


@METRICS.register
class HammingDistance(_ThresholdMetric):
    """The share of all labels of all samples that are predicted wrongly: lower is better.

    Args:
        threshold: probability above which a label is predicted, or a list with one for each class.

    Raises:
        ConfigError: a threshold is out of range.
    """

    lower_is_better: ClassVar[bool] = True
    sum_names: ClassVar[Sequence[str]] = ("wrong", "labels")  # [1]

    def __init__(self, threshold: Union[float, Sequence[float]] = 0.5) -> None:
        super().__init__(threshold)

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to the sums."""
        return {"wrong": self._wrong(logits, targets).sum().reshape([1]), "labels": _count_tensor(int(targets.size))}

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the share."""
        return {self.names[0]: int(sums["wrong"][0]) / int(sums["labels"][0])}


@METRICS.register
class AccuracyScore(_ThresholdMetric):
    """The share of labels, or of samples, that are predicted correctly.

    Args:
        base: label, or sample: all labels of a sample must be correct.
        threshold: probability above which a label is predicted, or a list with one for each class.

    Raises:
        ConfigError: another ``base``, or a threshold is out of range.
    """

    sum_names: ClassVar[Sequence[str]] = ("wrong", "all")  # [1]

    def __init__(self, base: str = "label", threshold: Union[float, Sequence[float]] = 0.5) -> None:
        require_choice("base", base, ("label", "sample"))
        super().__init__(threshold)
        self._base = base

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to the sums."""
        wrong = self._wrong(logits, targets)
        if self._base == "sample":
            wrong = wrong.max(axis=1)
        return {"wrong": wrong.sum().reshape([1]), "all": _count_tensor(int(wrong.size))}

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the share."""
        return {self.names[0]: 1 - int(sums["wrong"][0]) / int(sums["all"][0])}


@METRICS.register
class MultilabelMeanAccuracy(_MultiLabelMetric):
    """Share of correct labels at the best of several thresholds.

    They are start_threshold + i (end_threshold - start_threshold) / num_iterations, for i from 0 to num_iterations - 1.
    The details have the best one; among equals, the highest.

    Args:
        start_threshold: the lowest threshold.
        num_iterations: how many thresholds there are.
        end_threshold: above the highest threshold.

    Raises:
        ConfigError: a value is out of range.
    """

    sum_names: ClassVar[Sequence[str]] = ("correct", "labels")  # [num_iterations], [1]

    def __init__(self, start_threshold: float = 0.4, num_iterations: int = 10, end_threshold: float = 0.9) -> None:
        super().__init__()
        count = require_int("num_iterations", num_iterations, 1)
        start, end = (
            require_fraction(name, value)
            for name, value in (("start_threshold", start_threshold), ("end_threshold", end_threshold))
        )
        if end < start:
            raise ConfigError(f"end_threshold: must be at least start_threshold ({start:g}), not {end:g}")
        self._thresholds = [start + index * (end - start) / count for index in range(count)]

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to the sums."""
        thresholds = paddle.to_tensor(self._thresholds, dtype="float32")
        predictions = (predicted_labels(logits, targets, threshold) for threshold in thresholds)
        correct = [(predicted == targets).astype("int64").sum() for predicted in predictions]
        return {"correct": paddle.stack(correct), "labels": _count_tensor(int(targets.size))}

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the highest share."""
        return {self.names[0]: int(sums["correct"].max()) / int(sums["labels"][0])}

    def compute_details(self, sums: Sums, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return the best threshold."""
        correct = sums["correct"].tolist()
        return {"threshold": max(zip(correct, self._thresholds))[1]}


@METRICS.register
class ATTRMetric(_ThresholdMetric):
    """The metrics of attribute recognition, under PaddleClas's names.

    Means over the labels: ``ma`` (of the recalls of positive and of negative samples), ``label_f1``,
    ``label_pos_recall`` and ``label_neg_recall``. Means over the samples, of the predicted and the true labels of
    each: ``instance_acc`` (intersection over union), ``instance_prec`` and ``instance_recall``; ``instance_f1`` is the
    harmonic mean of the last two. 0 / 0 counts as 0. Source:
    https://github.com/valencebond/Rethinking_of_PAR/blob/master/metrics/pedestrian_metrics.py.

    Args:
        threshold: probability above which a label is predicted, or a list with one for each class.

    Raises:
        ConfigError: a threshold is out of range.
    """

    # The first four are [K]. The others count samples by the size of the intersection of predicted and true labels, and
    # by that of their union, of the predicted and of the true ones: [K + 1, K + 1]. Sums of ratios would not be exact.
    sum_names: ClassVar[Sequence[str]] = (
        *("true_positive", "true_negative", "positive", "negative", "label_predicted"),
        *("by_union", "by_predicted", "by_positive"),
    )

    def __init__(self, threshold: Union[float, Sequence[float]] = 0.5) -> None:
        super().__init__(threshold)

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        label = ["ma", "label_f1", "label_pos_recall", "label_neg_recall"]
        return [*label, "instance_f1", "instance_acc", "instance_prec", "instance_recall"]

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to the sums."""
        predicted = self._threshold.predict(logits, targets)
        both, either = paddle.logical_and(predicted, targets), paddle.logical_or(predicted, targets)
        by_label = {
            "true_positive": both,
            "true_negative": paddle.logical_not(either),
            "positive": targets,
            "negative": paddle.logical_not(targets),
            "label_predicted": predicted,
        }
        intersections, size = both.astype("int64").sum(axis=1), logits.shape[1] + 1
        tables = {}
        for name, mask in (("by_union", either), ("by_predicted", predicted), ("by_positive", targets)):
            cells = intersections * size + mask.astype("int64").sum(axis=1)
            tables[name] = count_values(cells, size * size).reshape([size, size])
        return {**{name: mask.astype("int64").sum(axis=0) for name, mask in by_label.items()}, **tables}

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return all numbers by name."""
        recall = _ratio(sums["true_positive"], sums["positive"])
        negative_recall = _ratio(sums["true_negative"], sums["negative"])
        f1 = _ratio(2 * sums["true_positive"], sums["label_predicted"] + sums["positive"])
        accuracy, precision, instance_recall = (
            _mean_ratio(sums[name]) for name in ("by_union", "by_predicted", "by_positive")
        )
        denominator = precision + instance_recall
        values = (
            *((recall + negative_recall).mean() / 2, f1.mean(), recall.mean(), negative_recall.mean()),
            2 * precision * instance_recall / denominator if denominator else 0.0,
            *(accuracy, precision, instance_recall),
        )
        return {name: float(value) for name, value in zip(self.names, values)}


def _count_tensor(value: int) -> paddle.Tensor:
    return paddle.full([1], value, dtype="int64")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return part / np.maximum(whole, 1)


def _mean_ratio(table: np.ndarray) -> float:
    """Return the mean of row / column over the samples that a table [K + 1, K + 1] counts by both."""
    rows, columns = np.arange(len(table))[:, None], np.arange(len(table))[None, :]
    return float((table * _ratio(rows, columns)).sum() / table.sum())
