"""How far confidence is from accuracy."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, Optional, Sequence

import paddle
from paddle.nn import functional as F

from ppcls.metric.predictions import count_values, predicted_classes
from ppcls.metric.registry import METRICS
from ppcls.metric.sums import SumMetric, Sums
from ppcls.registry.checks import require_int

# Fixed-point sums, so that the result does not depend on the order of the samples. The error is
# below 2^-33, and the sum of 2^31 samples fits into 64 bits.
_UNITS = 2**32


@METRICS.register
class CalibrationError(SumMetric):
    """Expected calibration error (https://arxiv.org/abs/1706.04599, equation 3): lower is better.

    The samples are sorted into bins by their confidence, the highest probability. The error is the mean distance of a
    bin's accuracy from its mean confidence, weighted by its samples. A sample with a NaN among its logits has no
    confidence, and makes the error NaN.

    Args:
        bins: how many bins of equal width; bin m contains the confidences above (m - 1) / bins up to m / bins.

    Raises:
        ConfigError: no bin.
    """

    lower_is_better: ClassVar[bool] = True
    sum_names: ClassVar[Sequence[str]] = ("samples", "correct", "confidence")  # [bins + 1]; the last: NaN

    def __init__(self, bins: int = 15) -> None:
        super().__init__()
        self.bins = require_int("bins", bins, 1)

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports, in order."""
        return ["calibration_error"]

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to each bin."""
        classes = predicted_classes(logits)
        is_nan = classes == logits.shape[1]
        confidence = F.softmax(logits, axis=1).max(axis=1).astype("float64")
        confidence = paddle.where(is_nan, paddle.zeros_like(confidence), confidence)
        index = paddle.clip(paddle.ceil(confidence * self.bins).astype("int64") - 1, 0, self.bins - 1)
        index = paddle.where(is_nan, paddle.full_like(index, self.bins), index)
        zeros = paddle.zeros([self.bins + 1], dtype="int64")
        is_correct = (classes == targets).astype("int64")
        units = paddle.round(confidence * _UNITS).astype("int64")
        return {
            "samples": count_values(index, self.bins + 1),
            "correct": paddle.scatter_nd_add(zeros, index.unsqueeze(1), is_correct),
            "confidence": paddle.scatter_nd_add(zeros, index.unsqueeze(1), units),
        }

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return the error; NaN if a logit was NaN."""
        if sums["samples"][-1]:
            return {"calibration_error": float("nan")}
        distances = abs(sums["correct"] - sums["confidence"] / _UNITS)
        return {"calibration_error": float(distances.sum() / sums["samples"].sum())}

    def compute_details(self, sums: Sums, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return the bins of a reliability diagram; accuracy and confidence of an empty one are None."""
        rows = zip(*(sums[name].tolist() for name in self.sum_names))
        return {
            "bins": [
                {
                    "from": index / self.bins,
                    "to": (index + 1) / self.bins,
                    "samples": samples,
                    "accuracy": correct / samples if samples else None,
                    "confidence": confidence / _UNITS / samples if samples else None,
                }
                for index, (samples, correct, confidence) in enumerate(rows)
                if index < self.bins
            ]
        }
