"""Precision, recall, F1 and balanced accuracy, from the counts of each class."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Optional, Sequence, Union

import numpy as np
import paddle

from ppcls.errors import ConfigError
from ppcls.metric.base import class_records
from ppcls.metric.predictions import Threshold, count_values, predicted_classes
from ppcls.metric.registry import METRICS
from ppcls.metric.sums import SumMetric, Sums

_AVERAGES = ("macro", "micro", "weighted", "none")


class _ClassCounts(SumMetric):
    """Base class: counts of each class. How many samples have it, how many are predicted to have it, and how many both.

    With one label per image, the class with the highest logit is predicted, and a sample with a NaN among its logits
    has no predicted class. With several, all labels are predicted whose probability is above a threshold.
    """

    sum_names: ClassVar[Sequence[str]] = ("correct", "predicted", "support")  # each [K]

    def __init__(self, threshold: Threshold) -> None:
        super().__init__()
        self._threshold = threshold

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to the counts."""
        if targets.ndim == 2:
            predicted = self._threshold.predict(logits, targets)
            masks = {"correct": paddle.logical_and(predicted, targets), "predicted": predicted, "support": targets}
            return {name: mask.astype("int64").sum(axis=0) for name, mask in masks.items()}
        class_num = logits.shape[1]
        classes = predicted_classes(logits)
        correct = paddle.where(classes == targets, targets, paddle.full_like(targets, class_num))
        counts = {"correct": correct, "predicted": classes, "support": targets}
        return {name: count_values(values, class_num + 1)[:class_num] for name, values in counts.items()}


class _AveragedMetric(_ClassCounts):
    """Base class: a number of each class, and its averages.

    A class that no sample has and none is predicted to have is left out of the macro average. Otherwise 0 / 0 counts
    as 0. Both are as in scikit-learn; for multi-label data, scikit-learn counts such a class as 0.

    Args:
        average: one or several of macro (the mean over the classes), micro (from the counts of all classes together),
            weighted (the mean weighted by the classes' samples) and none (each class, in the details).
        threshold: probability above which a label is predicted, or a list with one for each class; multi-label data
            only. By default 0.5.

    Raises:
        ConfigError: an average is unknown or given twice, or a threshold is out of range.
    """

    multi_label: ClassVar[bool] = True
    key: ClassVar[str] = ""

    def __init__(
        self,
        average: Union[str, Sequence[str]] = "macro",
        threshold: Optional[Union[float, Sequence[float]]] = None,
    ) -> None:
        super().__init__(Threshold(0.5 if threshold is None else threshold))
        averages = [average] if isinstance(average, str) else list(average)
        if not averages or any(name not in _AVERAGES for name in averages) or len(set(averages)) < len(averages):
            raise ConfigError(f"average: must be different ones of {', '.join(_AVERAGES)}, not {average!r}")
        self._averages = averages
        self._has_threshold = threshold is not None

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return [f"{self.key}_{average}" for average in self._averages if average != "none"]

    def check(self, class_num: int) -> None:
        """Make sure that there is one threshold for each class, if there are several.

        Raises:
            ConfigError: there is not.
        """
        self._threshold.check(class_num)

    def check_labels(self, multi_label: bool) -> None:
        """Make sure that a threshold is given for multi-label data only.

        Raises:
            ConfigError: it is given for data with one label per image.
        """
        super().check_labels(multi_label)
        if self._has_threshold and not multi_label:
            raise ConfigError("threshold: has no meaning for data with one label per image; leave it out")

    def score(self, correct: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Return the number from counts, element by element."""
        raise NotImplementedError

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the averages by name; NaN where no class occurs."""
        correct, predicted, support = (sums[name] for name in self.sum_names)
        occurs = predicted + support > 0
        if not occurs.any():
            return dict.fromkeys(self.names, float("nan"))
        scores = self.score(correct, predicted, support)
        total = self.score(*(counts.sum(keepdims=True) for counts in (correct, predicted, support)))
        averages = {
            "macro": scores[occurs].mean(),
            "micro": total[0],
            "weighted": (scores * support).sum() / max(support.sum(), 1),
        }
        return {f"{self.key}_{name}": float(averages[name]) for name in self._averages if name != "none"}

    def compute_details(self, sums: Sums, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return the number of each class, None for one that does not occur, and how many samples have it."""
        if "none" not in self._averages:
            return {}
        correct, predicted, support = (sums[name] for name in self.sum_names)
        occurs = (predicted + support > 0).tolist()
        scores = [
            score if known else None for score, known in zip(self.score(correct, predicted, support).tolist(), occurs)
        ]
        return {"per_class": class_records(class_names, **{self.key: scores}, support=support.tolist())}


@METRICS.register
class Precision(_AveragedMetric):
    """Share of predictions of a class that are correct.

    Args:
        average: one or several of macro (the mean over the classes), micro (from the counts of all classes together),
            weighted (the mean weighted by the classes' samples) and none (each class, in the details).
        threshold: probability above which a label is predicted, or a list with one for each class; multi-label data
            only. By default 0.5.

    Raises:
        ConfigError: an average is unknown or given twice, or a threshold is out of range.
    """

    key: ClassVar[str] = "precision"

    def score(self, correct: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Return the number from counts, element by element."""
        return correct / np.maximum(predicted, 1)


@METRICS.register
class Recall(_AveragedMetric):
    """Share of a class's samples that are found.

    Args:
        average: as for Precision.
        threshold: as for Precision.

    Raises:
        ConfigError: an average is unknown or given twice, or a threshold is out of range.
    """

    key: ClassVar[str] = "recall"

    def score(self, correct: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Return the number from counts, element by element."""
        return correct / np.maximum(support, 1)


@METRICS.register
class F1(_AveragedMetric):
    """The harmonic mean of precision and recall; the macro average is the mean of the classes' F1.

    Args:
        average: as for Precision.
        threshold: as for Precision.

    Raises:
        ConfigError: an average is unknown or given twice, or a threshold is out of range.
    """

    key: ClassVar[str] = "f1"

    def score(self, correct: np.ndarray, predicted: np.ndarray, support: np.ndarray) -> np.ndarray:
        """Return the number from counts, element by element."""
        return 2 * correct / np.maximum(predicted + support, 1)


@METRICS.register
class BalancedAccuracy(_ClassCounts):
    """The mean of the classes' recalls, over the classes that samples have, as in scikit-learn."""

    def __init__(self) -> None:
        super().__init__(Threshold(0.5))

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return ["balanced_accuracy"]

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the balanced accuracy."""
        occurs = sums["support"] > 0
        return {"balanced_accuracy": float((sums["correct"][occurs] / sums["support"][occurs]).mean())}
