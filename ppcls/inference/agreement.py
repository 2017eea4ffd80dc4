"""How far the answers of two models are from each other, and how far they may be."""

from __future__ import annotations

from typing import Dict, Mapping

import numpy as np

from ppcls.inference.postprocess import SIGMOID, SOFTMAX

# Largest allowed difference of a probability. For int8 the accuracy is bounded instead.
TOLERANCES: Dict[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1, "int8": 1.0}
# Largest allowed error of the logits, relative to their spread over the classes. Where all probabilities are small
# (many classes, little training), even another model would be within the tolerances above.
LOGIT_TOLERANCES: Dict[str, float] = {"float32": 1e-2, "float16": 1e-1, "bfloat16": 3e-1, "int8": float("inf")}
_MIN_PROBABILITY = 1e-6  # smaller ones count as this
_MIN_SPREAD = 1e-2  # of logits: a model that was hardly trained answers nearly the same for all classes


def differences(answers: np.ndarray, expected: np.ndarray, activation: str = SOFTMAX) -> Dict[str, float]:
    """Return {"max_difference" of a probability, "logit_error": see ``logit_error``}.

    Args:
        answers: probabilities [B, K].
        expected: probabilities [B, K].
        activation: what made probabilities of the logits.
    """
    return {
        "max_difference": float(np.abs(answers - expected).max()),
        "logit_error": logit_error(answers, expected, activation),
    }


def within_tolerance(found: Mapping[str, float], precision: str) -> bool:
    """Return whether ``differences`` are as small as a precision must keep them."""
    return (
        found["max_difference"] <= TOLERANCES[precision] and found["logit_error"] <= LOGIT_TOLERANCES[precision]
    )  # False for NaN, too


def logit_error(answers: np.ndarray, expected: np.ndarray, activation: str = SOFTMAX) -> float:
    """Return the error of the logits, relative to the spread of the expected ones over the classes.

    Both are root mean squares over all classes and images. Probabilities of a softmax tell the logits up to a constant,
    so the mean over the classes is taken off first; those of a sigmoid tell them exactly, and their spread is that
    around 0.

    Args:
        answers: probabilities [B, K].
        expected: probabilities [B, K].
        activation: what made probabilities of the logits.
    """
    logits, reference = (_logits(probabilities, activation) for probabilities in (answers, expected))
    return _rms(logits - reference) / max(_rms(reference), _MIN_SPREAD)


def _logits(probabilities: np.ndarray, activation: str) -> np.ndarray:
    logits = np.log(np.maximum(probabilities, _MIN_PROBABILITY))
    if activation == SIGMOID:
        return logits - np.log(np.maximum(1 - probabilities, _MIN_PROBABILITY))
    return logits - logits.mean(axis=1, keepdims=True)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
