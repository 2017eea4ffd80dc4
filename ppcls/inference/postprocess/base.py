"""What a post-processing is, and the table of all."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Dict, Iterable, List, Optional, Sequence

import numpy as np

from ppcls.errors import ConfigError
from ppcls.registry import Registry

POSTPROCESSES = Registry(
    "post-processing",
    trial_arguments=lambda: {"class_num": None, "class_names": None},
    injectable=("class_num", "class_names"),
    interface=("activation", "class_names", "topk", "is_multilabel", "with_topk"),
    base="ppcls.inference.postprocess.PostProcess",
)
INJECTED = ("class_num", "class_names")
# Activation that turns outputs into probabilities: softmax (exclusive classes) or sigmoid (independent classes).
SOFTMAX, SIGMOID = "softmax", "sigmoid"
DEFAULT_THRESHOLD = 0.5


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities [B, K] of logits [B, K]: of all classes together they are 1."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return probabilities [B, K] of logits [B, K], of each class by itself."""
    decay = np.exp(-np.abs(logits))  # never overflows
    return np.where(logits >= 0, 1, decay) / (1 + decay)


def probabilities(logits: np.ndarray, activation: str) -> np.ndarray:
    """Return the probabilities [B, K] of logits [B, K] for an activation."""
    return sigmoid(logits) if activation == SIGMOID else softmax(logits)


class PostProcess(abc.ABC):
    """Makes an answer of an image's probabilities.

    Attributes:
        activation: of the model's outputs, ``SOFTMAX`` or ``SIGMOID``.
        class_names: by class id; None where they are not known.
        topk: how many classes an answer has at most; None where that depends on the image.
    """

    activation: ClassVar[str] = SOFTMAX
    class_names: Optional[Sequence[str]] = None
    topk: Optional[int] = None

    @abc.abstractmethod
    def __call__(self, scores: np.ndarray) -> Dict[str, List[Any]]:
        """Return {class_ids, scores, label_names} of probabilities [K], the highest first; no names if not known."""

    @property
    def is_multilabel(self) -> bool:
        """Whether an image may have any number of classes."""
        return self.activation == SIGMOID

    def check_class_num(self, class_num: int) -> None:  # noqa: B027  most take any number
        """Make sure that this is for models of ``class_num`` classes.

        Raises:
            ConfigError: it is not.
        """

    def with_topk(self, topk: int) -> PostProcess:
        """Return one whose answers have ``topk`` classes.

        Raises:
            ConfigError: the number of classes in an answer depends on thresholds.
        """
        raise ConfigError(
            f"topk: how many classes are in an answer of {type(self).__name__} depends on thresholds; leave it out"
        )

    def _answer(self, class_ids: Iterable[int], scores: np.ndarray) -> Dict[str, List[Any]]:
        ids = [int(i) for i in class_ids]
        return {
            "class_ids": ids,
            "scores": [round(float(scores[i]), 5) for i in ids],
            "label_names": [self.class_names[i] for i in ids] if self.class_names else [],
        }


def require_classes(expected: int, class_num: int) -> None:
    """Check the number of classes.

    Raises:
        ConfigError: it is another one.
    """
    if class_num != expected:
        raise ConfigError(f"is for {expected} classes, and the model has {class_num} (Arch.class_num)")
