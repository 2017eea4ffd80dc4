"""An exported model in ONNX Runtime. Paddle need not be installed."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, List, Optional, Tuple

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is loaded; who wants telemetry sets it to 0

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from ppcls.deploy.backends.checks import check_files, checked_batch, checked_output
from ppcls.deploy.backends.devices import CPU, Device
from ppcls.deploy.description import Description
from ppcls.errors import DataError, MachineError
from ppcls.utils import environment
from ppcls.utils.logging import get_logger

# Whatever is wrong with a model, ONNX Runtime raises one of these.
REFUSED = (
    errors.Fail,
    errors.InvalidArgument,
    errors.InvalidGraph,
    errors.InvalidProtobuf,
    errors.NoModel,
    errors.NotImplemented,
    errors.RuntimeException,
    RuntimeError,
)
_CUDA, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
_FATAL = 4  # of its log levels: what it says is in the exception


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
        self._description = description
        self._path = description.folder / description.onnx_file
        self._threads = threads or int(os.environ.get(environment.THREADS, "1"))
        self._session, place = self._open(device)
        self.device = str(place)
        self._input = self._session.get_inputs()[0].name

    def _open(self, device: Device) -> Tuple[onnxruntime.InferenceSession, Device]:
        """Return the model, ready to run, and where it will."""
        if device.kind == "cpu" or (device.kind == "auto" and _CUDA not in onnxruntime.get_available_providers()):
            return self._session_on([_CPU]), CPU
        session, problem = self._session_on_gpu(device.gpu)
        if session is not None:
            return session, device.gpu
        session = self._session_on([_CPU])  # raises if it is not the GPU that is to blame, but the model
        if device.kind == "gpu":
            raise MachineError(f"device {device}: the backend onnx cannot use it: {problem}")
        get_logger().warning("computing on the CPU: %s", problem)
        return session, CPU

    def _session_on_gpu(self, device: Device) -> Tuple[Optional[onnxruntime.InferenceSession], str]:
        """Return the model on a GPU, or None and why not."""
        version = f"ONNX Runtime {onnxruntime.__version__}"
        if _CUDA not in onnxruntime.get_available_providers():
            return None, f"this {version} is built for CPUs; pip uninstall onnxruntime, then install onnxruntime-gpu"
        with contextlib.redirect_stdout(sys.stderr):  # it prints what it does not find
            if hasattr(onnxruntime, "preload_dlls"):
                onnxruntime.preload_dlls()  # CUDA as pip installs it
        # Batches have many sizes: a search for the fastest convolution for each of them would last for seconds.
        cuda = (_CUDA, {"device_id": device.index, "cudnn_conv_algo_search": "HEURISTIC"})
        try:
            session = self._session_on([cuda, _CPU])
        except DataError as error:
            return None, str(error)
        if _CUDA in session.get_providers():
            return session, ""
        return None, f"{version} finds no GPU, or not its driver, CUDA or cuDNN; its own lines above say which"

    def _session_on(self, providers: List[Any]) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _FATAL
        try:
            # Its fallback prints to standard output and takes the CPU.
            return onnxruntime.InferenceSession(str(self._path), options, providers=providers, enable_fallback=0)
        except REFUSED as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{self._path}: ONNX Runtime {onnxruntime.__version__} cannot run it: {reason}") from None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] for a batch of what the model takes."""
        batch = checked_batch(self._description, batch)
        try:
            (probabilities,) = self._session.run(None, {self._input: batch})
        except REFUSED as error:
            raise DataError(f"{self._path}: {' '.join(str(error).split())}") from None
        return checked_output(self._description, probabilities)
