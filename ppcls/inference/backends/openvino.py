"""An exported model in OpenVINO, from its ONNX file. Paddle need not be installed."""

from __future__ import annotations

import functools
import os
from typing import Any, Dict, List, Optional, Union

import numpy as np
import openvino

from ppcls.errors import DataError, MachineError
from ppcls.inference.backends.checks import check_files, check_input, checked_batch, checked_output
from ppcls.inference.backends.devices import Device
from ppcls.inference.description import Description
from ppcls.utils import environment
from ppcls.utils.encoding import as_text

_DEVICE = "CPU"
_HINTS = {"float32": "f32", "bfloat16": "bf16"}


class OpenvinoBackend:
    """OpenVINO, on processors.

    Raises:
        DataError: the file is missing, damaged, or of a kind that this version of OpenVINO cannot run.
        MachineError: the device is a GPU, or the processor does not compute in bfloat16.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        description: Description,
        threads: Optional[int],
        device: Device,
        precision: str = "float32",
        reason: str = "",
    ) -> None:
        assert description.onnx_file is not None
        check_files(description, [description.onnx_file])
        if device.kind == "gpu":
            raise MachineError(f"device {device}: the backend openvino cannot use it: it computes on processors here")
        if precision == "bfloat16" and not has_bfloat16():
            raise MachineError(
                "precision bfloat16: this processor does not compute in bfloat16 (avx512_bf16 or amx_bf16 in "
                "/proc/cpuinfo); leave it out for float32"
            )
        environment.prepare()
        threads = threads or int(os.environ.get(environment.THREADS, "1"))
        self.precision, self.reason = precision, reason
        self._description = description
        self._path = description.folder / description.onnx_file
        try:
            model = _core().compile_model(as_text(str(self._path)), _DEVICE, _settings(threads, precision))
            self._request = model.create_infer_request()
        except RuntimeError as error:
            raise DataError(
                f"{self._path}: OpenVINO {openvino.__version__} cannot run it: {_last_line(error)}"
            ) from None
        check_input(description, self._path, [_size(size) for size in model.input(0).partial_shape])

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the probabilities [B, K] of a batch."""
        batch = checked_batch(self._description, batch)
        try:
            # Shared: a copy of the first batch could not be followed by a larger one.
            probabilities = self._request.infer({0: batch}, share_inputs=True)[0]
        except RuntimeError as error:
            raise DataError(f"{self._path}: OpenVINO cannot run it: {_last_line(error)}") from None
        return checked_output(self._description, probabilities)


def has_bfloat16() -> bool:
    """Return whether OpenVINO computes in bfloat16 on this processor."""
    return "BF16" in _core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


@functools.cache
def _core() -> openvino.Core:
    """Return OpenVINO's entry point, which lives as long as the process.

    Its CPU plugin sets the stack of signal handlers for the thread that loads it, and unmaps it when it is unloaded,
    possibly by another thread: after that, the first signal would end the process by a segmentation fault.
    """
    return openvino.Core()


def _settings(threads: int, precision: str) -> Dict[str, Any]:
    return {
        # Without this it would take bfloat16 wherever the processor has it.
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,  # one batch at a time, with all threads
        "PERFORMANCE_HINT": "LATENCY",
        # Two processes of one thread each would compute on the same core.
        "ENABLE_CPU_PINNING": False,
    }


def _size(dimension: Any) -> Union[int, str]:
    return dimension.get_length() if dimension.is_static else str(dimension)


def _last_line(error: BaseException) -> str:
    """Return the reason in an error, which stands below the places in OpenVINO's source that it passed."""
    lines: List[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if not line.startswith("Exception from ")]
    return " ".join(reasons) or type(error).__name__
