"""Runtimes that exported models run in."""

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
_FOR_PROCESSORS = ("bfloat16", "int8")  # precisions that are exported for them


class Backend(Protocol):
    """A model ready to run. Not to be used by several threads at the same time.

    Attributes:
        name: of the runtime, "paddle" or "onnx".
        device: where it computes, "cpu", "gpu:0" or another GPU.
    """

    name: str
    device: str

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] of a batch of what the model takes, see ``Description.input``.

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
    for one in _usable(description, name, device):
        try:
            backend = _open(one, description, threads, device)
        except MachineError as error:
            reasons.append(str(error))
            continue
        if reasons:
            get_logger().warning("%s; so the backend is %s", "; ".join(reasons), one)
        return backend
    raise MachineError("; ".join(reasons))


def _usable(description: Description, name: str, device: Device) -> List[str]:
    """Return the runtimes, of those that are meant, that are installed and have files, the preferred one first.

    Raises:
        DataError, MachineError: there is none.
    """
    present = _present(description, device)
    if name not in ("auto", *present):
        raise DataError(
            f"{description.path}: has no model for the backend {name}, only for {' and '.join(present)}"
            + ("; export with --onnx" if name == "onnx" else "")
        )
    meant = present if name == "auto" else [name]
    usable = [one for one in meant if _installed(_PACKAGES[one])]
    if not usable:
        package = _PACKAGES[meant[0]]
        raise MachineError(f"the backend {meant[0]} needs {package}, which is not installed: {_INSTALL[meant[0]]}")
    return usable


def _open(name: str, description: Description, threads: Optional[int], device: Device) -> Backend:
    # The precision of a folder is that of Paddle's files; the ONNX model beside them is in float32.
    precision = "float32" if name == "onnx" and description.paddle_files else description.precision
    if device.kind == "auto" and precision in _FOR_PROCESSORS:
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
        DataError: of several ONNX files none is the main one.
    """
    present = [description.onnx_file and "onnx", description.paddle_files and "paddle"]
    found = [name for name in present if name]
    if not found:
        raise DataError(f"{description.folder}: several models; give one of {', '.join(sorted(description.files))}")
    only_paddle = device.kind != "cpu" and _for_gpus("paddlepaddle-gpu") and not _for_gpus("onnxruntime-gpu")
    return found[::-1] if only_paddle or description.precision == "bfloat16" else found


def _for_gpus(distribution: str) -> bool:
    """Return whether the package of a runtime for GPUs is installed; to import it would take seconds."""
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False
