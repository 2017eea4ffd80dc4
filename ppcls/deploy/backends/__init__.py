"""Runtimes that exported models run in."""

from __future__ import annotations

import importlib.util
from typing import List, Optional, Protocol

import numpy as np

from ppcls.deploy.description import Description
from ppcls.errors import DataError, MachineError

NAMES = ("auto", "paddle", "onnx")
_PACKAGES = {"paddle": "paddle", "onnx": "onnxruntime"}
_INSTALL = {"paddle": "pip install paddlepaddle", "onnx": 'pip install "ppcls[onnx]"'}


class Backend(Protocol):
    """A model ready to run. Not to be used by several threads at the same time.

    Attributes:
        name: of the runtime, "paddle" or "onnx".
    """

    name: str

    def run(self, batch: np.ndarray) -> np.ndarray:
        """Return probabilities [B, K] of a batch of what the model takes, see ``Description.input``.

        Raises:
            DataError: the batch has another shape or type.
        """


def open_backend(description: Description, name: str = "auto", threads: Optional[int] = None) -> Backend:
    """Open an exported model in a runtime that can run it.

    Args:
        name: "paddle", "onnx", or "auto" for Paddle where it is installed and there are files for it, else ONNX.
        threads: CPU threads for the model; None takes those chosen at start-up (OMP_NUM_THREADS).

    Raises:
        DataError: a file of the export is missing or damaged, or there is none for this runtime.
        MachineError: the runtime is not installed.
    """
    if name not in NAMES:
        raise DataError(f"backend {name!r} is not one of {', '.join(NAMES)}")
    present = _present(description)
    if name == "auto":
        usable = [candidate for candidate in present if _installed(_PACKAGES[candidate])]
        name = (usable or present)[0]
    if name not in present:
        raise DataError(
            f"{description.folder}: has no model for the backend {name}, only for {' and '.join(present)}"
            + ("; export with --onnx" if name == "onnx" else "")
        )
    if not _installed(_PACKAGES[name]):
        raise MachineError(f"the backend {name} needs {_PACKAGES[name]}, which is not installed: {_INSTALL[name]}")
    if name == "paddle":
        from ppcls.deploy.backends.paddle import PaddleBackend

        return PaddleBackend(description, threads)
    from ppcls.deploy.backends.onnx import OnnxBackend

    return OnnxBackend(description, threads)


def _present(description: Description) -> List[str]:
    """Return the runtimes that the export has files for, the preferred one first.

    Raises:
        DataError: of several ONNX files none is the main one.
    """
    present = [description.paddle_files and "paddle", description.onnx_file and "onnx"]
    found = [name for name in present if name]
    if not found:
        raise DataError(f"{description.folder}: several models; give one of {', '.join(sorted(description.files))}")
    return found


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ImportError:
        return False
