"""Metrics of how well scores rank the samples: average precision and the ROC curve."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Optional, Sequence, Tuple

import numpy as np
import paddle
from paddle.nn import functional as F

from ppcls.errors import ConfigError
from ppcls.metric.base import class_records
from ppcls.metric.registry import METRICS
from ppcls.metric.scores import Samples, ScoreMetric
from ppcls.registry.checks import require_choice, require_probability


def _counts_by_threshold(scores: np.ndarray, positive: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the different scores [T], falling, and how many samples and positives [T] have at least each of them.

    Equal scores are one threshold, so that the order of the samples does not matter.
    """
    order = np.argsort(-scores)
    falling, hits = scores[order], np.cumsum(positive[order], dtype=np.int64)
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))  # of each group of equal scores
    return falling[last], last + 1, hits[last]


def average_precision(scores: np.ndarray, positive: np.ndarray, kind: str = "integral") -> float:
    """Return the average precision of one class; NaN without a positive sample, or if a score is NaN.

    Args:
        scores: [N].
        positive: [N] bool.
        kind: "integral", the sum of precision times gain of recall over all thresholds, as in scikit-learn; or
            "11point", the mean of the highest precisions at a recall of at least 0, 0.1, ..., 1 (PASCAL VOC 2007,
            http://host.robots.ox.ac.uk/pascal/VOC/pubs/everingham10.pdf, section 4.2).
    """
    total = int(positive.sum())
    if not total or np.isnan(scores).any():
        return float("nan")
    _, samples, hits = _counts_by_threshold(scores, positive)
    precision = hits / samples
    if kind == "integral":
        return float((np.diff(hits, prepend=0) * precision).sum() / total)
    # Integers: 3 / 10 of the positives must be a recall of at least 0.3.
    return float(np.mean([precision[hits * 10 >= tenth * total].max() for tenth in range(11)]))


class _MeanAveragePrecision(ScoreMetric):
    """Base class. Classes without a positive sample are left out of the mean.

    Args:
        kind: see ``average_precision``.
        show_classes: whether the details have the average precision of each class.
    """

    multi_label: ClassVar[bool] = True

    def __init__(self, kind: str, show_classes: bool) -> None:
        super().__init__()
        self._kind = kind
        self._show_classes = show_classes

    def collect(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return the probabilities [B, K] and the targets."""
        if targets.ndim == 2:
            return {"scores": F.sigmoid(logits), "targets": targets.astype("uint8")}
        return {"scores": F.softmax(logits, axis=1), "targets": targets.astype("int32")}

    def compute(self, samples: Samples) -> Dict[str, float]:
        """Return the mean over the classes with a positive sample; NaN if there is none, or if a score is NaN."""
        values, support = self._by_class(samples)
        return dict.fromkeys(self.names, float(values[support > 0].mean()) if support.any() else float("nan"))

    def compute_details(self, samples: Samples, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return the average precision of each class, None where there is none, and its positive samples."""
        if not self._show_classes:
            return {}
        values, support = self._by_class(samples)
        shown = [None if np.isnan(value) else value for value in values.tolist()]
        return {"per_class": class_records(class_names, average_precision=shown, support=support.tolist())}

    def _by_class(self, samples: Samples) -> Tuple[np.ndarray, np.ndarray]:
        """Return the average precision and the number of positive samples of each class, both [K]."""
        scores, targets = samples["scores"], samples["targets"]
        values: List[float] = []
        support: List[int] = []
        for index, column in enumerate(np.ascontiguousarray(scores.T)):
            positive = targets[:, index] == 1 if targets.ndim == 2 else targets == index
            values.append(average_precision(column, positive, self._kind))
            support.append(int(positive.sum()))
        return np.array(values), np.array(support)


@METRICS.register
class MeanAveragePrecision(_MeanAveragePrecision):
    """The mean of the classes' average precisions, each class against the rest.

    The scores are softmax's probabilities, with multi-label data the sigmoid's. Equal scores are one threshold, as in
    scikit-learn. A class without a sample is left out of the mean.

    Args:
        per_class: also report the average precision of each class, in the details.
    """

    def __init__(self, per_class: bool = False) -> None:
        super().__init__("integral", per_class)

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return ["mAP"]


@METRICS.register
class MultiLabelMAP(_MeanAveragePrecision):
    """Mean average precision of multi-label data, under PaddleClas's name.

    Args:
        map_type: integral, or 11point as in PASCAL VOC 2007.
        per_class: also report the average precision of each class, in the details.

    Raises:
        ConfigError: another ``map_type``.
    """

    single_label: ClassVar[bool] = False

    def __init__(self, map_type: str = "integral", per_class: bool = False) -> None:
        require_choice("map_type", map_type, ("integral", "11point"))
        super().__init__(map_type, per_class)

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return ["MultiLabelMAP"]


@METRICS.register
class TprAtFpr(ScoreMetric):
    """The highest true positive rate of any threshold whose false positive rate is at most ``max_fpr``.

    For two classes, of which 1 is the positive one; the score is its probability. All thresholds are tried. The details
    have the threshold, halfway between the lowest score above it and the highest below. The rate is NaN if one of the
    classes has no sample, or if a score is NaN.

    Args:
        max_fpr: highest false positive rate.

    Raises:
        ConfigError: it is not from 0 to 1.
    """

    def __init__(self, max_fpr: float = 1e-3) -> None:
        super().__init__()
        self.max_fpr = require_probability("max_fpr", max_fpr)

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return ["tpr_at_fpr"]

    def check(self, class_num: int) -> None:
        """Make sure that there are two classes.

        Raises:
            ConfigError: there are not.
        """
        if class_num != 2:
            raise ConfigError(f"is for 2 classes, the negative and the positive one, not for {class_num}")

    def collect(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return the probabilities of class 1, [B], and the labels."""
        self.check(logits.shape[1])
        return {"scores": F.softmax(logits, axis=1)[:, 1], "targets": targets.astype("uint8")}

    def compute(self, samples: Samples) -> Dict[str, float]:
        """Return the true positive rate."""
        return {"tpr_at_fpr": self._best_point(samples)[0]}

    def compute_details(self, samples: Samples, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return the threshold, its false positive rate, and how many samples the classes have."""
        tpr, fpr, threshold = self._best_point(samples)
        positives, count = int(samples["targets"].sum()), len(samples["targets"])
        point = {} if np.isnan(tpr) else {"threshold": threshold, "fpr": fpr}
        return {**point, "positives": positives, "negatives": count - positives}

    def _best_point(self, samples: Samples) -> Tuple[float, float, float]:
        """Return the true and the false positive rate, and the threshold."""
        scores, positive = samples["scores"], samples["targets"] == 1
        positives = int(positive.sum())
        negatives = len(positive) - positives
        if not positives or not negatives or np.isnan(scores).any():
            return (float("nan"),) * 3
        values, counts, hits = _counts_by_threshold(scores, positive)
        allowed = int(((counts - hits) / negatives <= self.max_fpr).sum())  # false positives only grow
        if not allowed:
            return 0.0, 0.0, 1.0
        rejected = float(values[allowed]) if allowed < len(values) else 0.0
        false_positives = int(counts[allowed - 1] - hits[allowed - 1])
        threshold = (float(values[allowed - 1]) + rejected) / 2
        return hits[allowed - 1] / positives, false_positives / negatives, threshold
