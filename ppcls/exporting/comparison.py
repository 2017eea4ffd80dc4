"""Compare exported models with the checkpoint, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Sequence

import numpy as np
import paddle

from ppcls.data.transforms import TransformOp
from ppcls.engine.inference import make_predict_fn
from ppcls.errors import DataError, ExportError
from ppcls.exporting.images import Sample
from ppcls.inference import description
from ppcls.inference.backends import open_backend
from ppcls.inference.backends.devices import CPU
from ppcls.inference.postprocess import SIGMOID, SOFTMAX

# Largest allowed difference of a probability. For int8 the accuracy is bounded instead.
TOLERANCES: Dict[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1, "int8": 1.0}
# Largest allowed error of the logits, relative to their spread over the classes. Where all probabilities are small
# (many classes, little training), even another model would be within the tolerances above.
LOGIT_TOLERANCES: Dict[str, float] = {"float32": 1e-2, "float16": 1e-1, "bfloat16": 3e-1, "int8": float("inf")}
_MIN_PROBABILITY = 1e-6  # smaller ones count as this
_MIN_SPREAD = 1e-2  # of logits: a model that was hardly trained answers nearly the same for all classes
_NOTHING_EXPORTED = "nothing was exported"


@dataclass(frozen=True)
class Expected:
    """The checkpoint's answers for some images.

    Attributes:
        sample: the images.
        ops: the preprocessing.
        probabilities: the answers, [B, K].
        activation: makes probabilities of the model's outputs; see ``PostProcess``.
    """

    sample: Sample
    ops: Sequence[TransformOp]
    probabilities: np.ndarray
    activation: str

    @classmethod
    def of(cls, model: paddle.nn.Layer, sample: Sample, ops: Sequence[TransformOp], activation: str) -> Expected:
        """Run the trained model.

        Raises:
            ExportError: an answer is not finite.
        """
        probabilities = make_predict_fn(model, activation)(sample.tensors)
        if not np.isfinite(probabilities).all():
            raise ExportError("the model's own answers are not finite: its weights are damaged; " + _NOTHING_EXPORTED)
        return cls(sample, ops, probabilities, activation)


def compare(expected: Expected, path: Path, backend: str) -> Dict[str, Any]:
    """Compare an exported model's answers with those of the checkpoint: for one image, then for all in one batch.

    Args:
        path: the export's folder, or one of its ONNX files.

    Returns:
        {"max_difference" of a probability, "logit_error" relative to their spread, "top1_agreement": for how many the
        likeliest class is the same, from 0 to 1}.

    Raises:
        ExportError: a difference is above ``TOLERANCES`` or ``LOGIT_TOLERANCES``, or an answer is not finite.
    """
    described = description.read(path)
    try:
        model = open_backend(described, backend, device=CPU)
    except DataError as error:
        raise ExportError(
            f"the exported model cannot be opened (is the disk full?); {_NOTHING_EXPORTED}: {error}"
        ) from None
    pixels = described.input == description.PIXELS
    images = expected.sample.pixels(expected.ops) if pixels else expected.sample.tensors
    difference = logits = 0.0
    for count in (1, len(images)):  # the batch size of the exported model is free
        try:
            answers = model.run(images[:count])
        except DataError as error:
            raise ExportError(f"the exported model does not run; {_NOTHING_EXPORTED}: {error}") from None
        reference = expected.probabilities[:count]
        difference = max(difference, float(np.abs(answers - reference).max()))
        logits = max(logits, logit_error(answers, reference, expected.activation))
    name = path.name if path.is_file() else backend
    _require(name, "a probability", difference, TOLERANCES[described.precision])
    _require(name, "its logits, as a share of their spread,", logits, LOGIT_TOLERANCES[described.precision])
    same = answers.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    return {"max_difference": difference, "logit_error": logits, "top1_agreement": float(same.mean())}


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


def _require(name: str, what: str, difference: float, tolerance: float) -> None:
    """Raise an ExportError if a difference is too large."""
    if not difference <= tolerance:  # NaN, too
        raise ExportError(
            f"the exported model ({name}) differs from the trained one: {what} by {difference:.3g} "
            f"(allowed: {tolerance:g}); {_NOTHING_EXPORTED}"
        )
