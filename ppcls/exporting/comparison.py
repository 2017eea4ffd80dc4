"""Compare exported models with the checkpoint, on the same images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Mapping, Sequence

import numpy as np
import paddle

from ppcls.data.transforms import TransformOp
from ppcls.engine.inference import make_predict_fn
from ppcls.errors import DataError, ExportError
from ppcls.exporting.images import Sample
from ppcls.inference import description
from ppcls.inference.agreement import LOGIT_TOLERANCES, TOLERANCES, differences
from ppcls.inference.backends import Backend, is_installed, open_backend, runtimes
from ppcls.inference.backends.devices import CPU
from ppcls.inference.description import Description
from ppcls.utils.logging import get_logger

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
    try:
        found = _compare(expected, described, model)
    except DataError as error:
        raise ExportError(f"the exported model does not run; {_NOTHING_EXPORTED}: {error}") from None
    _require_small(path.name if path.is_file() else backend, found, described.precision)
    return found


def compare_in_openvino(expected: Expected, path: Path) -> Dict[str, Dict[str, Any]]:
    """Compare an ONNX file in OpenVINO as ``compare`` does: in float32 and, where the processor has it, in bfloat16.

    A large difference in bfloat16 is no error: it is recorded, and ``precision: auto`` takes float32 then.

    Returns:
        Results by precision; none if OpenVINO is not installed or, which a warning says, cannot run the model.

    Raises:
        ExportError: a difference is too large in float32, or an answer is not finite.
    """
    described = description.read(path)
    if not is_installed("openvino") or "openvino" not in runtimes(described):
        return {}
    from ppcls.inference.backends.openvino import has_bfloat16

    results = {}
    for precision in ("float32", "bfloat16") if has_bfloat16() else ("float32",):
        try:
            model = open_backend(described, "openvino", device=CPU, precision=precision)
            results[precision] = _compare(expected, described, model)
        except DataError as error:
            get_logger().warning("%s is not for the backend openvino: %s", path.name, error)
            return {}
        if precision == "float32":
            allowed = "float16" if described.onnx_precision == "float16" else precision
            _require_small(f"{path.name} in OpenVINO", results[precision], allowed)
    return results


def _compare(expected: Expected, described: Description, model: Backend) -> Dict[str, Any]:
    """Return what ``compare`` does, without bounds.

    Raises:
        DataError: the model does not run.
    """
    pixels = described.input == description.PIXELS
    images = expected.sample.pixels(expected.ops) if pixels else expected.sample.tensors
    found: Dict[str, float] = {}
    for count in (1, len(images)):  # the batch size of the exported model is free
        answers = model.run(images[:count])
        for name, value in differences(answers, expected.probabilities[:count], expected.activation).items():
            found[name] = float(np.maximum(found.get(name, value), value))  # NaN stays NaN
    same = answers.argmax(axis=1) == expected.probabilities.argmax(axis=1)
    return {**found, "top1_agreement": float(same.mean())}


def _require_small(name: str, found: Mapping[str, float], precision: str) -> None:
    """Raise an ExportError if a difference is larger than a precision allows."""
    for what, difference, tolerance in (
        ("a probability", found["max_difference"], TOLERANCES[precision]),
        ("its logits, as a share of their spread,", found["logit_error"], LOGIT_TOLERANCES[precision]),
    ):
        if not difference <= tolerance:  # NaN, too
            raise ExportError(
                f"the exported model ({name}) differs from the trained one: {what} by {difference:.3g} "
                f"(allowed: {tolerance:g}); {_NOTHING_EXPORTED}"
            )
