"""What a model answers for each image of an evaluation, in a form that stays small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional

import numpy as np
import paddle
from paddle.nn import functional as F

from ppcls.metric.predictions import predicted_classes
from ppcls.utils import distributed

_TOP = 5  # classes that are kept of an image with one label
MAX_SCORES = 1 << 24  # probabilities that are kept of multi-label data: 64 MB


@dataclass(frozen=True)
class Predictions:
    """The answers for the images of one evaluation, in the order of the data set.

    Attributes:
        indices: index of each image in the data set, [N] int64.
        labels: [N] int64; [N, K] bool for multi-label data.
        predicted: the class with the highest logit, [N] int64; K for an image whose logits are not finite. Of
            multi-label data [0].
        classes: the classes with the highest probabilities, falling, [N, T] int64. Of multi-label data [N, 0].
        scores: their probabilities by softmax, [N, T] float32; of multi-label data that of each label by the sigmoid,
            [N, K].
        label_scores: the probability of each image's own class, [N] float32. Of multi-label data [0].
        images: how many images were evaluated: more than N where only a part of them is kept.
    """

    indices: np.ndarray
    labels: np.ndarray
    predicted: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    label_scores: np.ndarray
    images: int

    @property
    def is_multilabel(self) -> bool:
        """Whether an image has any number of labels."""
        return self.labels.ndim == 2

    def __len__(self) -> int:
        return len(self.indices)


class PredictionRecorder:
    """Keeps what a model answers in an evaluation: about 60 bytes for an image with one label.

    Of multi-label data all probabilities are kept, up to ``MAX_SCORES``; beyond, those of every second (third, ...)
    image. Nothing is fetched from the device before ``gather``.

    Args:
        images: how many images are evaluated, by all processes together.
    """

    def __init__(self, images: int) -> None:
        self._images = images
        self._batches: List[Dict[str, Any]] = []

    def begin(self) -> Callable[[np.ndarray, paddle.Tensor, paddle.Tensor], None]:
        """Forget all images; return ``add``."""
        self._batches = []
        return self.add

    def add(self, indices: np.ndarray, logits: paddle.Tensor, labels: paddle.Tensor) -> None:
        """Take a batch in.

        Args:
            indices: of the images in the data set, [B] int64.
            logits: [B, K] float32.
            labels: [B] int64, or [B, K] of 0 and 1 (multi-label).
        """
        if labels.ndim == 2:
            self._add_multilabel(indices, logits, labels)
            return
        scores = F.softmax(logits, axis=1)
        top, classes = paddle.topk(scores, k=min(_TOP, logits.shape[1]), axis=1)
        own = paddle.take_along_axis(scores, labels.astype("int64").unsqueeze(1), axis=1).squeeze(1)
        predicted = predicted_classes(logits)
        self._batches.append(
            {
                "indices": indices.copy(),
                "labels": labels.astype("int64"),
                "predicted": predicted,
                "classes": classes,
                "scores": top,
                "label_scores": own,
            }
        )

    def _add_multilabel(self, indices: np.ndarray, logits: paddle.Tensor, labels: paddle.Tensor) -> None:
        stride = -(-self._images * logits.shape[1] // MAX_SCORES)
        if stride > 1:
            kept = np.flatnonzero(indices % stride == 0)
            if not len(kept):
                return
            rows = paddle.to_tensor(kept)
            indices, logits, labels = indices[kept], logits[rows], labels[rows]
        self._batches.append({"indices": indices.copy(), "labels": labels.astype("bool"), "scores": F.sigmoid(logits)})

    def gather(self) -> Optional[Predictions]:
        """Return the answers for the images of all processes, None where there are none; a collective."""
        fetched = [{name: np.asarray(value) for name, value in batch.items()} for batch in self._batches]
        self._batches = []
        own = {name: np.concatenate([batch[name] for batch in fetched]) for name in fetched[0]} if fetched else {}
        parts = [part for part in distributed.all_gather(own) if part]
        if not parts:
            return None
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        order = np.argsort(joined["indices"], kind="stable")
        arrays = {name: array[order] for name, array in joined.items()}
        if arrays["labels"].ndim == 2:
            arrays["predicted"] = np.zeros(0, np.int64)
            arrays["classes"] = np.zeros((len(order), 0), np.int64)
            arrays["label_scores"] = np.zeros(0, np.float32)
        return Predictions(**arrays, images=self._images)
