"""The runtimes of exported models."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import replace
from typing import List, Optional, Protocol, Tuple

import numpy as np

from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.inference.backends.devices import AUTO, CPU, Device
from ppcls.inference.backends.selection import Request, fastest_first, openvino_precision
from ppcls.inference.choices import BACKENDS, PRECISIONS
from ppcls.inference.description import Description
from ppcls.utils.extras import install_command
from ppcls.utils.logging import get_logger

_PACKAGES = {"paddle": "paddle", "onnx": "onnxruntime", "openvino": "openvino"}
_INSTALL = {
    "paddle": "pip install paddlepaddle",
    "onnx": install_command("onnx"),
    "openvino": install_command("openvino"),
}
_CPU_PRECISIONS = ("bfloat16", "int8")  # exported for CPUs


class Backend(Protocol):
    """A model ready to run, in one thread at a time.

    Attributes:
        name: of the runtime, "paddle", "onnx" or "openvino".
        device: where it computes, "cpu", "gpu:0" or another GPU.
        precision: in what it computes, "float32", "float16", "bfloat16" or "int8".
        reason: what the choice of the runtime or the precision is based on, if it was left to ``open_backend``.
    """

    name: str
    device: str
    precision: str
    reason: str

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return the probabilities [B, K] of a batch; ``Description.input`` says of what.

        Raises:
            DataError: the batch has another shape or type.
        """


def open_backend(
    description: Description,
    name: str = "auto",
    threads: Optional[int] = None,
    device: Device = AUTO,
    precision: Optional[str] = None,
    batch_size: int = 32,
) -> Backend:
    """Open an exported model in a runtime that can run it.

    Args:
        name: "paddle", "onnx", "openvino", or "auto" for one that has files, is installed and can use the device: of
            ONNX Runtime and OpenVINO the faster one, which is measured once for a model; then Paddle.
            Paddle first if the model was exported in bfloat16, or if a GPU may be used and only Paddle is installed for
            GPUs.
        threads: CPU threads for the model; None takes those chosen at start-up (OMP_NUM_THREADS).
        device: "auto" is a GPU where the runtime can use one, unless the model was made for processors (bfloat16 or
            int8).
        precision: "float32", "bfloat16", or "auto" for bfloat16 in OpenVINO where the processor computes in it and the
            answers stay near those in float32; None takes what was exported.
        batch_size: the images at a time that the runtimes are measured with, beside single ones.

    Raises:
        DataError: a file of the export is missing or damaged, or there is none for this runtime.
        ConfigError: there is no such precision.
        MachineError: the runtime is not installed, it or the model cannot use the device, or it does not compute this
            model in this precision.
    """
    if name not in BACKENDS:
        raise DataError(f"backend {name!r} is not one of {', '.join(BACKENDS)}")
    if precision not in (None, *PRECISIONS):
        raise ConfigError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    request = Request(description, threads, device, precision, batch_size)
    reasons: List[str] = []
    candidates, measured = choose(name, request)
    for candidate in candidates:
        try:
            backend = _open(candidate, request)
        except MachineError as error:
            reasons.append(str(error))
            continue
        if reasons:
            get_logger().warning("%s; so the backend is %s", "; ".join(reasons), candidate)
        backend.reason = "; ".join(filter(None, [measured, backend.reason]))
        return backend
    raise MachineError("; ".join(reasons))


def choose(name: str, request: Request) -> Tuple[List[str], str]:
    """Return the runtimes to try in this order, and what was measured for it; see ``open_backend``.

    Raises:
        DataError, MachineError: as ``open_backend``.
    """
    usable = _usable(request.description, name, request.device)
    usable = _in_precision(usable, request.description, request.precision)
    if name == "auto" and _may_be_measured(usable, request):
        return fastest_first(usable, request, _open)
    return usable, ""


def label(backend: Backend) -> str:
    """Return what a backend is and why, for the log: "onnx on cpu"; with its precision where that may be chosen."""
    may_be_chosen = backend.name == "openvino" or backend.precision != "float32"
    precision = f" in {backend.precision}" if may_be_chosen else ""
    return f"{backend.name} on {backend.device}{precision}" + (f" ({backend.reason})" if backend.reason else "")


def runtimes(description: Description) -> List[str]:
    """Return the runtimes that the export has files for.

    Raises:
        DataError: there are several ONNX files, and none is the main one.
    """
    present = [*(["onnx"] if description.onnx_file else []), *(["paddle"] if description.paddle_files else [])]
    if not present:
        raise DataError(f"{description.folder}: several models; give one of {', '.join(sorted(description.files))}")
    # The accuracy of an int8 model was measured in ONNX Runtime, which rounds otherwise.
    if description.onnx_file and description.onnx_precision != "int8":
        present.insert(1, "openvino")
    return present


def is_installed(name: str) -> bool:
    """Return whether the package of a runtime is installed."""
    try:
        return importlib.util.find_spec(_PACKAGES[name]) is not None
    except ImportError:
        return False


def _usable(description: Description, name: str, device: Device) -> List[str]:
    """Return the runtimes that are asked for, installed and have files, the preferred one first.

    Raises:
        DataError: the export has no files for the one that is asked for.
        MachineError: none is installed.
    """
    present = _by_preference(description, device)
    if name not in ("auto", *present):
        raise DataError(f"{description.path}: {_why_absent(name, description, present)}")
    requested = present if name == "auto" else [name]
    usable = [backend for backend in requested if is_installed(backend)]
    if not usable:
        package = _PACKAGES[requested[0]]
        raise MachineError(
            f"the backend {requested[0]} needs {package}, which is not installed: {_INSTALL[requested[0]]}"
        )
    return usable


def _why_absent(name: str, description: Description, present: List[str]) -> str:
    if name == "openvino" and description.onnx_file:
        return "the backend openvino does not run int8 models, whose accuracy was measured in ONNX Runtime; take onnx"
    advice = "" if name == "paddle" else "; export with --onnx"
    return f"has no model for the backend {name}, only for {' and '.join(present)}{advice}"


def _in_precision(names: List[str], description: Description, precision: Optional[str]) -> List[str]:
    """Return the runtimes that compute the model in a precision.

    Raises:
        MachineError: there is none.
    """
    fixed = {"paddle": description.precision, "onnx": description.onnx_precision}
    fitting = [name for name in names if precision in (None, "auto", fixed.get(name, precision))]
    if not fitting:
        found = " and ".join(f"{name} computes {description.path} in {fixed[name]}" for name in names)
        install = "" if is_installed("openvino") else f", which needs {_INSTALL['openvino']}"
        raise MachineError(f"precision {precision}: {found}; take another precision, or the backend openvino{install}")
    return fitting


def _may_be_measured(names: List[str], request: Request) -> bool:
    """Return whether ONNX Runtime and OpenVINO would give the same answers, on the CPU, and neither is preferred."""
    on_cpu = request.device.kind == "cpu" or not (
        _has_distribution("onnxruntime-gpu") or _has_distribution("paddlepaddle-gpu")
    )
    is_float32 = request.description.onnx_precision == "float32"
    return on_cpu and is_float32 and names[0] == "onnx" and "openvino" in names


def _open(name: str, request: Request) -> Backend:
    description, device = request.description, request.device
    exported_in = description.precision if name == "paddle" else description.onnx_precision
    if device.kind == "auto" and exported_in in _CPU_PRECISIONS:
        device = CPU
    if device.kind == "gpu" and exported_in == "int8":
        get_logger().warning("%s in int8 is made for processors; on a GPU take float16 or float32", description.name)
    try:
        if name == "paddle":
            from ppcls.inference.backends.paddle import PaddleBackend

            return PaddleBackend(description, request.threads, device)
        if name == "onnx":
            from ppcls.inference.backends.onnx import OnnxBackend

            return OnnxBackend(description, request.threads, device)
        from ppcls.inference.backends.openvino import OpenvinoBackend

        precision, reason = openvino_precision(replace(request, device=device))
        return OpenvinoBackend(description, request.threads, device, precision, reason)
    except ImportError as error:
        raise MachineError(f"the backend {name} cannot be loaded: {error}; reinstall {_PACKAGES[name]}") from None


def _by_preference(description: Description, device: Device) -> List[str]:
    """Return the runtimes that the export has files for, the preferred one first.

    Raises:
        DataError: there are several ONNX files, and none is the main one.
    """
    present = runtimes(description)
    only_paddle = (
        device.kind != "cpu" and _has_distribution("paddlepaddle-gpu") and not _has_distribution("onnxruntime-gpu")
    )
    paddle_first = only_paddle or description.precision == "bfloat16"
    return sorted(present, key=lambda name: name != "paddle") if paddle_first else present


def _has_distribution(distribution: str) -> bool:
    """Return whether a package is installed, without importing it, which would take seconds."""
    try:
        return bool(importlib.metadata.version(distribution))
    except importlib.metadata.PackageNotFoundError:
        return False
