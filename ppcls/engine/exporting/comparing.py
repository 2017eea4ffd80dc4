"""Exported models against the checkpoint, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import paddle

from ppcls.deploy import description
from ppcls.deploy.backends import open_backend
from ppcls.deploy.backends.devices import CPU
from ppcls.engine.exporting.images import Sample
from ppcls.engine.inference import runner
from ppcls.errors import DataError, ExportError

# Largest allowed difference of a probability. That of int8 is not bounded: its accuracy is.
TOLERANCES: Dict[str, float] = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1, "int8": 1.0}
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
        probabilities = runner(model)(sample.tensors)
        if not np.isfinite(probabilities).all():
            raise ExportError("the model's own answers are not finite: its weights are damaged; " + _NOTHING)
        return cls(sample, ops, probabilities)


def compare(expected: Expected, path: Path, backend: str) -> Dict[str, Any]:
    """Compare an exported model's answers with those of the checkpoint, for one image and for all together.

    Args:
        path: of the export's folder, or of one of its ONNX files.

    Returns:
        {"max_difference" of a probability, "top1_agreement" from 0 to 1}.

    Raises:
        ExportError: the difference is above that of ``TOLERANCES``, or an answer is not finite.
    """
    described = description.read(path)
    try:
        model = open_backend(described, backend, device=CPU)
    except DataError as error:
        raise ExportError(f"the exported model cannot be opened (is the disk full?); {_NOTHING}: {error}") from None
    pixels = described.input == description.PIXELS
    images = expected.sample.pixels(expected.ops) if pixels else expected.sample.tensors
    tolerance, difference = TOLERANCES[described.precision], 0.0
    for count in (1, len(images)):  # the batch size of the exported model is free
        try:
            answers = model.run(images[:count])
        except DataError as error:
            raise ExportError(f"the exported model does not run; {_NOTHING}: {error}") from None
        difference = max(difference, float(np.abs(answers - expected.probabilities[:count]).max()))
    if not difference <= tolerance:  # NaN, too
        raise ExportError(
            f"the exported model ({path.name if path.is_file() else backend}) differs from the trained one by "
            f"{difference:.3g} (allowed: {tolerance:g}); {_NOTHING}"
        )
    same = answers.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    return {"max_difference": difference, "top1_agreement": float(same.mean())}
