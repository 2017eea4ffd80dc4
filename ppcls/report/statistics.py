"""The numbers of a report, from what a model answered for each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from ppcls.engine.predictions import Predictions
from ppcls.metric.ranking import average_precision

THRESHOLD = 0.5  # above which a label of multi-label data is predicted
BINS = 15  # as ``CalibrationError``


@dataclass(frozen=True)
class ClassCounts:
    """Counts of each class, [K] int64, and what follows from them.

    Attributes:
        support: images that have the class.
        predicted: images that are predicted to have it.
        correct: both.
    """

    support: np.ndarray
    predicted: np.ndarray
    correct: np.ndarray

    @classmethod
    def of(cls, predictions: Predictions, class_num: int) -> ClassCounts:
        """Count the classes of an evaluation."""
        if predictions.is_multilabel:
            found = predictions.scores > THRESHOLD
            columns = (predictions.labels, found, predictions.labels & found)
            return cls(*(column.sum(axis=0).astype(np.int64) for column in columns))
        labels, predicted = predictions.labels, predictions.predicted
        return cls(
            np.bincount(labels, minlength=class_num)[:class_num],
            np.bincount(predicted, minlength=class_num)[:class_num],
            np.bincount(labels[labels == predicted], minlength=class_num)[:class_num],
        )

    @property
    def precision(self) -> np.ndarray:
        """Return the share of predictions that are right; NaN for a class that is never predicted."""
        return _ratio(self.correct, self.predicted)

    @property
    def recall(self) -> np.ndarray:
        """Return the share of images that are found; NaN for a class without images."""
        return _ratio(self.correct, self.support)

    @property
    def f1(self) -> np.ndarray:
        """Return the harmonic mean of both; NaN for a class that neither occurs nor is predicted."""
        return _ratio(2 * self.correct, self.support + self.predicted)

    def weakest(self, count: int) -> List[int]:
        """Return the classes with the lowest recall, among those with images; of equals the one with more images."""
        classes = np.flatnonzero(self.support)
        order = np.lexsort((-self.support[classes], self.recall[classes]))
        return [int(index) for index in classes[order[:count]]]


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def confusion(predictions: Predictions, class_num: int) -> np.ndarray:
    """Return how many images of each class are predicted as each class, [K, K + 1] int64; the last: none."""
    cells = predictions.labels * (class_num + 1) + predictions.predicted
    return np.bincount(cells, minlength=class_num * (class_num + 1)).reshape(class_num, class_num + 1)


def taken_for(predictions: Predictions, class_num: int) -> Dict[int, Tuple[int, int]]:
    """Return, by class, which other class its images are predicted as most often, and how many are; no matrix is made.

    Of equals it is the class with the lower id. Classes without such images are left out.
    """
    labels, predicted = predictions.labels, predictions.predicted
    wrong = (predicted != labels) & (predicted < class_num)
    pairs, counts = np.unique(labels[wrong] * class_num + predicted[wrong], return_counts=True)
    most: Dict[int, Tuple[int, int]] = {}
    for pair, count in zip(pairs.tolist(), counts.tolist()):
        label, other = divmod(pair, class_num)
        if label not in most or count > most[label][1]:
            most[label] = (other, count)
    return most


@dataclass(frozen=True)
class Calibration:
    """How far confidence is from accuracy.

    Attributes:
        bins: (mean confidence, share that is right, how many) of each bin that is not empty.
        counts: answers in each of the ``BINS`` bins.
        error: the expected calibration error (https://arxiv.org/abs/1706.04599, equation 3).
        confidence: the mean.
        accuracy: the mean.
    """

    bins: List[Tuple[float, float, int]]
    counts: List[int]
    error: float
    confidence: float
    accuracy: float


def calibration(predictions: Predictions) -> Calibration:
    """Return the calibration of the most likely class; of multi-label data, that of each label's probability."""
    if predictions.is_multilabel:
        confidences, right = predictions.scores.ravel(), predictions.labels.ravel()
    else:
        confidences = predictions.scores[:, 0]
        right = predictions.predicted == predictions.labels
    known = np.isfinite(confidences)
    confidences, right = confidences[known].astype(np.float64), right[known]
    index = np.clip(np.ceil(confidences * BINS).astype(int) - 1, 0, BINS - 1)
    counts = np.bincount(index, minlength=BINS)
    sums = np.bincount(index, weights=confidences, minlength=BINS)
    hits = np.bincount(index, weights=right.astype(np.float64), minlength=BINS)
    total = max(1, len(confidences))
    bins = [(sums[i] / counts[i], hits[i] / counts[i], int(counts[i])) for i in np.flatnonzero(counts)]
    error = float(np.abs(sums - hits).sum() / total)
    return Calibration(bins, counts.tolist(), error, float(sums.sum() / total), float(hits.sum() / total))


def label_precisions(predictions: Predictions) -> np.ndarray:
    """Return the average precision of each label of multi-label data, [K]; NaN without an image that has it."""
    return np.array(
        [average_precision(scores, labels) for scores, labels in zip(predictions.scores.T, predictions.labels.T)]
    )


def exact_matches(predictions: Predictions) -> np.ndarray:
    """Return which images are answered without any mistake, [N] bool."""
    if predictions.is_multilabel:
        return ((predictions.scores > THRESHOLD) == predictions.labels).all(axis=1)
    return predictions.predicted == predictions.labels


def most_confident_mistakes(predictions: Predictions, count: int) -> List[int]:
    """Return the rows of the wrong answers with the highest probability, falling.

    Of multi-label data these are the images with the label whose probability is farthest from the truth.
    """
    wrong = ~exact_matches(predictions)
    wrongness = worst_labels(predictions)[1] if predictions.is_multilabel else predictions.scores[:, 0]
    rows = np.flatnonzero(wrong & np.isfinite(wrongness))
    return [int(row) for row in rows[np.argsort(-wrongness[rows], kind="stable")[:count]]]


def least_certain(predictions: Predictions, count: int) -> List[int]:
    """Return the rows of the images with the least distance between the two best classes.

    Of multi-label data these are the images with the label whose probability is nearest to ``THRESHOLD``.
    """
    if predictions.is_multilabel:
        distance = np.abs(predictions.scores - THRESHOLD).min(axis=1)
    elif predictions.scores.shape[1] < 2:
        return []
    else:
        distance = predictions.scores[:, 0] - predictions.scores[:, 1]
    rows = np.flatnonzero(np.isfinite(distance))
    return [int(row) for row in rows[np.argsort(distance[rows], kind="stable")[:count]]]


def worst_labels(predictions: Predictions) -> Tuple[np.ndarray, np.ndarray]:
    """Return the label of each image whose probability is farthest from the truth, [N], and how far that is, [N]."""
    distance = np.abs(predictions.scores - predictions.labels)
    label = distance.argmax(axis=1)
    return label, distance[np.arange(len(distance)), label]


def principal_components(features: np.ndarray) -> Tuple[np.ndarray, float]:
    """Return features [N, C] on their first two principal components, [N, 2], and their share of the variance."""
    centered = features.astype(np.float64) - features.mean(axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    variances = values**2
    points = np.zeros((len(features), 2))
    count = min(2, len(values))
    points[:, :count] = left[:, :count] * values[:count]
    total = float(variances.sum())
    return points, float(variances[:2].sum() / total) if total else 0.0
