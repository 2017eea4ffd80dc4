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
from ppcls.inference.backends.devices import Device, opened
from ppcls.inference.description import Description
from ppcls.utils import environment

# What Paddle's C++ errors become in Python: of the model, of memory, of CUDA.
_REFUSED = (RuntimeError, ValueError, MemoryError, OSError, SystemError, IndexError, TypeError)
_GPU_MEMORY = 100  # MiB that the pool of a GPU begins with; it grows
_CHATTER = b"ReduceMeanCheckIfOneDNNSupport"  # a function's name, printed by Paddle 3 for each model with such a mean


class PaddleBackend:
    """Paddle Inference; a model for bfloat16 computes in float32 where the processor does not have that.

    Raises:
        DataError: a file of the export is missing or is not the one that was exported, or cannot be read.
        MachineError: Paddle cannot use the device, or is too old for the model; or that is for processors.
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
        self._description = description
        self._threads = threads or int(os.environ.get(environment.THREADS, "1"))
        missing = None if device.kind == "cpu" else gpus.problem(device.index)
        self._predictor, place = opened(device, self.name, missing, self._load)
        self.device = str(place)
        self._has_run = False
        self._input = self._predictor.get_input_handle(self._predictor.get_input_names()[0])
        self._output = self._predictor.get_output_handle(self._predictor.get_output_names()[0])

    def _load(self, device: Device) -> Any:
        """Return Paddle's predictor.

        Raises:
            DataError: Paddle cannot run the model there.
        """
        from paddle import inference

        config = inference.Config(str(self._path), str(self._parameters))
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
        with _standard_output_kept_clean(), self._said():
            return inference.create_predictor(config)

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """Turn Paddle's errors into such as the user understands."""
        try:
            yield
        except _REFUSED as error:
            lines = [line.strip() for line in str(error).splitlines()]
            said = [line for line in lines if line and not line.startswith("[Hint")]
            reason = said[-1] if said else type(error).__name__
            raise DataError(f"{self._path}: Paddle Inference cannot run it: {reason}") from None

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] for a batch [B, C, H, W] float32."""
        batch = checked_batch(self._description, batch)
        with self._said(), contextlib.nullcontext() if self._has_run else _standard_output_kept_clean():
            self._input.reshape(list(batch.shape))
            self._input.copy_from_cpu(batch)
            self._predictor.run()
        self._has_run = True
        return checked_output(self._description, self._output.copy_to_cpu())


def _check_version(model: Path) -> None:
    """Refuse what would end the process.

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
    """Return a file that is nowhere; where the system can, not even on disk, which may be full or read-only."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stdout"), "w+b")
    return tempfile.TemporaryFile()


@contextlib.contextmanager
def _standard_output_kept_clean() -> Iterator[None]:
    """Send what Paddle's C++ code prints to standard error, as it does while it prepares a model, but for its chatter.

    Standard output is for results.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    with _scratch() as said:
        os.dup2(said.fileno(), 1)
        try:
            yield
        finally:
            if os.name == "posix":
                ctypes.CDLL(None).fflush(None)  # what is still in C's buffer
            os.dup2(kept, 1)
            os.close(kept)
            said.seek(0)
            sys.stderr.flush()
            os.write(2, b"".join(line for line in said if line.strip() != _CHATTER))
