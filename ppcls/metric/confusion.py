"""The confusion matrix."""

from __future__ import annotations

from typing import Any, ClassVar, Dict, List, Optional, Sequence

import paddle

from ppcls.errors import ConfigError
from ppcls.metric.predictions import count_values, predicted_classes
from ppcls.metric.registry import METRICS
from ppcls.metric.sums import SumMetric, Sums


@METRICS.register
class ConfusionMatrix(SumMetric):
    """How many samples of each class are predicted as each class; in the details, for one label per image."""

    sum_names: ClassVar[Sequence[str]] = ("matrix",)  # [K, K + 1]; the last column: no prediction, because of a NaN
    max_classes: ClassVar[int] = 2048  # 34 MB

    @property
    def names(self) -> Sequence[str]:
        """What ``result`` reports: no numbers."""
        return []

    def check(self, class_num: int) -> None:
        """Make sure that the matrix fits into memory.

        Raises:
            ConfigError: there are too many classes.
        """
        if class_num > self.max_classes:
            raise ConfigError(
                f"the matrix of {class_num} classes would take {class_num**2 * 8 / 1e9:.1f} GB, and at most "
                f"{self.max_classes} classes are supported; use Precision and Recall with average: none"
            )

    def count(self, logits: paddle.Tensor, targets: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """Return what a batch adds to the matrix."""
        class_num = logits.shape[1]
        cells = targets * (class_num + 1) + predicted_classes(logits)
        return {"matrix": count_values(cells, class_num * (class_num + 1)).reshape([class_num, class_num + 1])}

    def compute(self, sums: Sums) -> Dict[str, float]:
        """Return no numbers."""
        return {}

    def compute_details(self, sums: Sums, class_names: Optional[Sequence[str]]) -> Dict[str, Any]:
        """Return the matrix as rows by the label, columns by the prediction."""
        matrix = sums["matrix"]
        labels: List[Any] = list(range(len(matrix))) if class_names is None else list(class_names)
        details = {"classes": labels, "matrix": matrix[:, :-1].tolist()}
        if matrix[:, -1].any():
            details["no_prediction"] = matrix[:, -1].tolist()
        return details
