"""An exported model in ONNX Runtime. Paddle need not be installed."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import Any, List, Optional, Tuple, Type

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is loaded; set it to 0 for telemetry

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from ppcls.errors import DataError, MachineError
from ppcls.inference.backends.checks import check_files, check_input, checked_batch, checked_output
from ppcls.inference.backends.devices import Device, load_on_device
from ppcls.inference.description import Description
from ppcls.utils import environment
from ppcls.utils.encoding import as_text

# Everything that ONNX Runtime raises.
RUNTIME_ERRORS: Tuple[Type[BaseException], ...] = (
    RuntimeError,
    *(kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_SOURCE_LINE = re.compile(r"/\S*onnxruntime\S*:\d+ .*?\) (?=[A-Z])")  # in its own source
_FATAL = 4  # log level: the exceptions hold the messages


class OnnxBackend:
    """ONNX Runtime.

    Raises:
        DataError: the file is missing, damaged, or of a kind that this version of ONNX Runtime cannot run.
        MachineError: it cannot use the device.
    """

    name = "onnx"

    def __init__(self, description: Description, threads: Optional[int], device: Device) -> None:
        assert description.onnx_file is not None
        check_files(description, [description.onnx_file])
        environment.prepare()
        self.reason = ""
        self.precision = description.onnx_precision
        self._description = description
        self._path = description.folder / description.onnx_file
        self._threads = threads or int(os.environ.get(environment.THREADS, "1"))
        version = f"ONNX Runtime {onnxruntime.__version__}"
        built = _CUDA in onnxruntime.get_available_providers()
        missing = None if built else f"this {version} is built for CPUs; put onnxruntime-gpu in its place"
        self._session, actual_device = load_on_device(device, self.name, missing, self._load)
        self.device = str(actual_device)
        self._input = self._session.get_inputs()[0]
        check_input(description, self._path, self._input.shape)

    def _load(self, device: Device) -> onnxruntime.InferenceSession:
        """Return the model, ready to run on a device.

        Raises:
            DataError: ONNX Runtime cannot run it there.
            MachineError: it took the CPU instead of the GPU.
        """
        providers: List[Any] = [_CPU]
        if device.kind == "gpu":
            with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
                if hasattr(onnxruntime, "preload_dlls"):
                    onnxruntime.preload_dlls()  # those of CUDA that pip installed
            # Batches have many sizes: a search for the fastest convolution for each of them would last for seconds.
            providers.insert(0, (_CUDA, {"device_id": device.index, "cudnn_conv_algo_search": "HEURISTIC"}))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _FATAL
        try:
            # Its fallback prints to standard output and takes the CPU.
            session = onnxruntime.InferenceSession(
                as_text(str(self._path)), options, providers=providers, enable_fallback=0
            )
        except RUNTIME_ERRORS as error:
            raise DataError(f"{self._path}: {_explain(error)}") from None
        if device.kind == "gpu" and _CUDA not in session.get_providers():
            raise MachineError(
                f"ONNX Runtime {onnxruntime.__version__} finds no GPU, or not its driver, CUDA or cuDNN; its own lines "
                f"above say which"
            )
        return session

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the probabilities [B, K] of a batch."""
        batch = checked_batch(self._description, batch)
        try:
            (probabilities,) = self._session.run(None, {self._input.name: batch})
        except RUNTIME_ERRORS as error:
            raise DataError(f"{self._path}: {' '.join(str(error).split())}") from None
        return checked_output(self._description, probabilities)


def _explain(error: BaseException) -> str:
    """Return ONNX Runtime's reason for refusing a model, and what to do if the model is too new."""
    reason = _SOURCE_LINE.sub("", " ".join(str(error).split()))
    text = f"ONNX Runtime {onnxruntime.__version__} cannot run it: {reason}"
    if re.search(r"Opset \d+ is under development|Unsupported model IR version", reason):
        return f"too new for this ONNX Runtime; install a newer one, or export with a lower --opset. {text}"
    return text
