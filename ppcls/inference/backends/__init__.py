"""The runtimes of exported models."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import List, Optional, Protocol

import numpy as np

from ppcls.errors import DataError, MachineError
from ppcls.inference.backends.devices import AUTO, CPU, Device
from ppcls.inference.description import Description
from ppcls.utils.extras import install_command
from ppcls.utils.logging import get_logger

NAMES = ("auto", "paddle", "onnx")
_PACKAGES = {"paddle": "paddle", "onnx": "onnxruntime"}
_INSTALL = {"paddle": "pip install paddlepaddle", "onnx": install_command("onnx")}
_CPU_PRECISIONS = ("bfloat16", "int8")  # exported for CPUs


class Backend(Protocol):
    """A model ready to run, in one thread at a time.

    Attributes:
        name: of the runtime, "paddle" or "onnx".
        device: where it computes, "cpu", "gpu:0" or another GPU.
    """

    name: str
    device: str

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the probabilities [B, K] of a batch; ``Description.input`` says of what.

        Raises:
            DataError: the batch has another shape or type.
        """


def open_backend(
    description: Description, name: str = "auto", threads: Optional[int] = None, device: Device = AUTO
) -> Backend:
    """Open an exported model in a runtime that can run it.

    Args:
        name: "paddle", "onnx", or "auto" for the first that has files, is installed and can use the device: ONNX
            Runtime, the faster one on processors, then Paddle; Paddle first if the model computes in bfloat16, or if
            a GPU may be used and only Paddle is installed for GPUs.
        threads: CPU threads for the model; None takes those chosen at start-up (OMP_NUM_THREADS).
        device: "auto" is a GPU where the runtime can use one, unless the model was made for processors (bfloat16 or
            int8).

    Raises:
        DataError: a file of the export is missing or damaged, or there is none for this runtime.
        MachineError: the runtime is not installed, or it or the model cannot use the device.
    """
    if name not in NAMES:
        raise DataError(f"backend {name!r} is not one of {', '.join(NAMES)}")
    reasons: List[str] = []
    for candidate in _usable(description, name, device):
        try:
            backend = _open(candidate, description, threads, device)
        except MachineError as error:
            reasons.append(str(error))
            continue
        if reasons:
            get_logger().warning("%s; so the backend is %s", "; ".join(reasons), candidate)
        return backend
    raise MachineError("; ".join(reasons))


def _usable(description: Description, name: str, device: Device) -> List[str]:
    """Return the runtimes that are asked for, installed and have files, the preferred one first.

    Raises:
        DataError: the export has no files for the one that is asked for.
        MachineError: none is installed.
    """
    present = _present(description, device)
    if name not in ("auto", *present):
        raise DataError(
            f"{description.path}: has no model for the backend {name}, only for {' and '.join(present)}"
            + ("; export with --onnx" if name == "onnx" else "")
        )
    requested = present if name == "auto" else [name]
    usable = [backend for backend in requested if _installed(_PACKAGES[backend])]
    if not usable:
        package = _PACKAGES[requested[0]]
        raise MachineError(
            f"the backend {requested[0]} needs {package}, which is not installed: {_INSTALL[requested[0]]}"
        )
    return usable


def _open(name: str, description: Description, threads: Optional[int], device: Device) -> Backend:
    # The precision of a folder is that of Paddle's files; the ONNX model beside them is in float32.
    precision = "float32" if name == "onnx" and description.paddle_files else description.precision
    if device.kind == "auto" and precision in _CPU_PRECISIONS:
        device = CPU
    if device.kind == "gpu" and precision == "int8":
        get_logger().warning("%s in int8 is made for processors; on a GPU take float16 or float32", description.name)
    try:
        if name == "paddle":
            from ppcls.inference.backends.paddle import PaddleBackend

            return PaddleBackend(description, threads, device)
        from ppcls.inference.backends.onnx import OnnxBackend

        return OnnxBackend(description, threads, device)
    except ImportError as error:
        raise MachineError(f"the backend {name} cannot be loaded: {error}; install {_PACKAGES[name]} anew") from None


def _present(description: Description, device: Device) -> List[str]:
    """Return the runtimes that the export has files for, the preferred one first.

    Raises:
        DataError: there are several ONNX files, and none is the main one.
    """
    runtimes = {"onnx": description.onnx_file, "paddle": description.paddle_files}
    present = [name for name, files in runtimes.items() if files]
    if not present:
        raise DataError(f"{description.folder}: several models; give one of {', '.join(sorted(description.files))}")
    only_paddle = (
        device.kind != "cpu" and _has_distribution("paddlepaddle-gpu") and not _has_distribution("onnxruntime-gpu")
    )
    return present[::-1] if only_paddle or description.precision == "bfloat16" else present


def _has_distribution(distribution: str) -> bool:
    """Return whether a package is installed, without importing it, which would take seconds."""
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False
