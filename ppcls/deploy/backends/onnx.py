"""An exported model in ONNX Runtime. Paddle need not be installed."""

from __future__ import annotations

import os
from typing import Optional

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is loaded; who wants telemetry sets it to 0

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from ppcls.deploy.backends.checks import check_files, checked_batch, checked_output
from ppcls.deploy.description import Description
from ppcls.errors import DataError
from ppcls.utils import environment

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
_FATAL = 4  # of its log levels: what it says is in the exception


class OnnxBackend:
    """ONNX Runtime on the CPU.

    Raises:
        DataError: the file is missing, damaged, or of a kind that this version of ONNX Runtime cannot run.
    """

    name = "onnx"

    def __init__(self, description: Description, threads: Optional[int]) -> None:
        assert description.onnx_file is not None
        check_files(description, [description.onnx_file])
        environment.prepare()
        path = description.folder / description.onnx_file
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or int(os.environ.get(environment.THREADS, "1"))
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except REFUSED as error:
            reason = " ".join(str(error).split())
            raise DataError(f"{path}: ONNX Runtime {onnxruntime.__version__} cannot run it: {reason}") from None
        self._description = description
        self._path = path
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] for a batch of what the model takes."""
        batch = checked_batch(self._description, batch)
        try:
            (probabilities,) = self._session.run(None, {self._input: batch})
        except REFUSED as error:
            raise DataError(f"{self._path}: {' '.join(str(error).split())}") from None
        return checked_output(self._description, probabilities)
