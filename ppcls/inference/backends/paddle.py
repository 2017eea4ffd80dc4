"""An exported model in Paddle Inference."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Iterator, Optional

import numpy as np

from ppcls.errors import DataError, MachineError
from ppcls.inference.backends.checks import check_files, checked_batch, checked_output
from ppcls.inference.backends.devices import Device, load_on_device
from ppcls.inference.description import Description
from ppcls.utils import environment, openmp
from ppcls.utils.encoding import as_text

# What Paddle's C++ errors become in Python.
_RUNTIME_ERRORS = (RuntimeError, ValueError, MemoryError, OSError, SystemError, IndexError, TypeError)
_GPU_MEMORY = 100  # MiB, the first size of a GPU's memory pool; it grows
_NOISE = b"ReduceMeanCheckIfOneDNNSupport"  # printed by Paddle 3 for each model that computes a mean


class PaddleBackend:
    """Paddle Inference. A bfloat16 model computes in float32 where the processor has no bfloat16.

    Raises:
        DataError: a file of the export is missing or is not the one that was exported, or cannot be read.
        MachineError: Paddle cannot use the device, or is too old for the model; or the model is for CPUs only.
    """

    name = "paddle"

    def __init__(self, description: Description, threads: Optional[int], device: Device) -> None:
        assert description.paddle_files is not None
        check_files(description, description.paddle_files)
        environment.import_paddle()
        from ppcls.utils import gpus

        self._path, self._parameters = (description.folder / name for name in description.paddle_files)
        _check_version(self._path)
        if device.kind == "gpu" and description.precision == "bfloat16":
            raise MachineError(
                f"device {device}: the backend paddle cannot use it: the model was exported with --bf16, for processors"
            )
        in_bfloat16 = description.precision == "bfloat16" and environment.has_bfloat16()
        self.reason = ""
        self.precision = "bfloat16" if in_bfloat16 else "float32"
        self._description = description
        self._threads = threads or int(os.environ.get(environment.THREADS, "1"))
        missing = None if device.kind == "cpu" else gpus.problem(device.index)
        self._predictor, actual_device = load_on_device(device, self.name, missing, self._load)
        self.device = str(actual_device)
        self._has_run = False
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def _load(self, device: Device) -> Any:
        """Return Paddle's predictor.

        Raises:
            DataError: Paddle cannot run the model there.
        """
        from paddle import inference

        config = inference.Config(as_text(str(self._path)), as_text(str(self._parameters)))
        if device.kind == "gpu":
            config.enable_use_gpu(_GPU_MEMORY, device.index)
        else:
            config.disable_gpu()
        config.set_cpu_math_library_num_threads(self._threads)
        config.disable_glog_info()
        if hasattr(config, "enable_new_executor"):  # Paddle 3: memory optimization needs it
            config.enable_new_executor()
        config.enable_memory_optim()
        if self._description.precision == "bfloat16":
            config.enable_mkldnn()
            config.enable_mkldnn_bfloat16()
        # A predictor sets the number of threads of the thread that builds or runs it, and leaves it so.
        with _stdout_to_stderr(), self._translate_errors(), openmp.keep_threads():
            return inference.create_predictor(config)

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Translate Paddle's exceptions to DataError."""
        try:
            yield
        except _RUNTIME_ERRORS as error:
            lines = [line.strip() for line in str(error).splitlines()]
            messages = [line for line in lines if line and not line.startswith("[Hint")]
            reason = messages[-1] if messages else type(error).__name__
            raise DataError(f"{self._path}: Paddle Inference cannot run it: {reason}") from None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] for a batch [B, C, H, W] float32."""
        batch = checked_batch(self._description, batch)
        quiet = contextlib.nullcontext() if self._has_run else _stdout_to_stderr()
        with self._translate_errors(), quiet, openmp.keep_threads():
            self._input.reshape(list(batch.shape))
            self._input.copy_from_cpu(batch)
            self._predictor.run()
        self._has_run = True
        return checked_output(self._description, self._output.copy_to_cpu())


def _check_version(model: Path) -> None:
    """Refuse a model that would end the process.

    Raises:
        MachineError: the model is of PaddlePaddle 3, and this is an older one.
    """
    import paddle

    if model.suffix == ".json" and paddle.__version__.startswith(("1.", "2.")):
        raise MachineError(
            f"{model}: written by PaddlePaddle 3, which this {paddle.__version__} cannot read; install version 3 (for "
            f"GPUs: https://www.paddlepaddle.org.cn/en/install), export again with this one, or export with --onnx and "
            f"install ONNX Runtime"
        )


def _scratch() -> IO[bytes]:
    """Return a temporary file; in memory where the system can, since the disk may be full or read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stdout"), "w+b")
    return tempfile.TemporaryFile()


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Redirect Paddle's C++ stdout to stderr, without known noise. Standard output is for results."""
    sys.stdout.flush()
    stdout = os.dup(1)
    with _scratch() as output:
        os.dup2(output.fileno(), 1)
        try:
            yield
        finally:
            if os.name == "posix":
                ctypes.CDLL(None).fflush(None)  # what is still in C's buffer
            os.dup2(stdout, 1)
            os.close(stdout)
            output.seek(0)
            sys.stderr.flush()
            os.write(2, b"".join(line for line in output if line.strip() != _NOISE))
