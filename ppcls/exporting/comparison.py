"""Exported models against the checkpoint, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import paddle

from ppcls.engine.inference import make_predict_fn
from ppcls.errors import DataError, ExportError
from ppcls.exporting.images import Sample
from ppcls.inference import description
from ppcls.inference.backends import open_backend
from ppcls.inference.backends.devices import CPU

# Largest allowed difference of a probability. That of int8 is not bounded: its accuracy is.
TOLERANCES: Dict[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1, "int8": 1.0}
# Largest allowed error of the logits, as a share of how much they differ from class to class. Where all probabilities
# are small (many classes, little training), even those of another model would be within the tolerances above.
LOGIT_TOLERANCES: Dict[str, float] = {"float32": 1e-2, "float16": 1e-1, "bfloat16": 3e-1, "int8": float("inf")}
_LEAST = 1e-6  # a probability; smaller ones are as good as 0
_LEAST_SPREAD = 1e-2  # of logits: a model that was hardly trained answers the same for all classes, but for roundings
_NOTHING = "nothing was exported"


@dataclass(frozen=True)
class Expected:
    """What the checkpoint answers.

    Attributes:
        probabilities: [B, K].
        ops: the preprocessing.
    """

    sample: Sample
    ops: Sequence[Mapping[str, Optional[Mapping[str, Any]]]]
    probabilities: np.ndarray

    @classmethod
    def of(cls, model: paddle.nn.Layer, sample: Sample, ops: List[Mapping[str, Any]]) -> Expected:
        """Ask the trained model.

        Raises:
            ExportError: an answer is not finite.
        """
        probabilities = make_predict_fn(model)(sample.tensors)
        if not np.isfinite(probabilities).all():
            raise ExportError("the model's own answers are not finite: its weights are damaged; " + _NOTHING)
        return cls(sample, ops, probabilities)


def compare(expected: Expected, path: Path, backend: str) -> Dict[str, Any]:
    """Compare an exported model's answers with those of the checkpoint, for one image and for all together.

    Args:
        path: of the export's folder, or of one of its ONNX files.

    Returns:
        {"max_difference" of a probability, "logit_error" as a share of their spread, "top1_agreement" from 0 to 1}.

    Raises:
        ExportError: one of the first two is above that of ``TOLERANCES`` or ``LOGIT_TOLERANCES``, or an answer is not
            finite.
    """
    described = description.read(path)
    try:
        model = open_backend(described, backend, device=CPU)
    except DataError as error:
        raise ExportError(f"the exported model cannot be opened (is the disk full?); {_NOTHING}: {error}") from None
    pixels = described.input == description.PIXELS
    images = expected.sample.pixels(expected.ops) if pixels else expected.sample.tensors
    difference = logits = 0.0
    for count in (1, len(images)):  # the batch size of the exported model is free
        try:
            answers = model.run(images[:count])
        except DataError as error:
            raise ExportError(f"the exported model does not run; {_NOTHING}: {error}") from None
        wanted = expected.probabilities[:count]
        difference = max(difference, float(np.abs(answers - wanted).max()))
        logits = max(logits, logit_error(answers, wanted))
    name = path.name if path.is_file() else backend
    _require(name, "a probability", difference, TOLERANCES[described.precision])
    _require(name, "its logits, as a share of their spread,", logits, LOGIT_TOLERANCES[described.precision])
    same = answers.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    return {"max_difference": difference, "logit_error": logits, "top1_agreement": float(same.mean())}


def logit_error(answers: np.ndarray, expected: np.ndarray) -> float:
    """Return how far logits are from the expected ones, as a share of how much these differ from class to class.

    Both are root mean squares over all classes and images, of logits whose mean over the classes is 0: probabilities
    tell no more.

    Args:
        answers: probabilities [B, K].
        expected: the same.
    """
    found, wanted = (np.log(np.maximum(probabilities, _LEAST)) for probabilities in (answers, expected))
    found, wanted = (values - values.mean(axis=1, keepdims=True) for values in (found, wanted))
    return _rms(found - wanted) / max(_rms(wanted), _LEAST_SPREAD)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))


def _require(name: str, what: str, difference: float, tolerance: float) -> None:
    """Raise an ExportError for too large a difference."""
    if not difference <= tolerance:  # NaN, too
        raise ExportError(
            f"the exported model ({name}) differs from the trained one: {what} by {difference:.3g} "
            f"(allowed: {tolerance:g}); {_NOTHING}"
        )
