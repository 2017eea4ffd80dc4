"""Weight files of every format into arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, Union

import numpy as np
from safetensors import SafetensorError, deserialize

from ppcls.arch.weights.unpickling import restricted_load
from ppcls.errors import WeightsError

PathLike = Union[str, Path]

# Wrappers around the weights in training checkpoints, the preferred one first: an average beats what it averages.
_WRAPPERS = ("state_dict_ema", "state_dict", "model")
# Paddle keeps its own variable names beside the weights.
_PADDLE_NAMES = "StructuredToParameterName@@"
# Little-endian by definition of the format; bfloat16 is widened afterwards, I64 occurs as a counter.
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}


def find_file(path: PathLike) -> Path:
    """Return the weight file at ``path``, which may lack its suffix.

    Raises:
        WeightsError: there is none.
    """
    path = Path(path)
    tried = [path, *(path.with_name(path.name + suffix) for suffix in _READERS)]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    raise WeightsError(f"no weight file at {path}; tried {', '.join(str(candidate) for candidate in tried)}")


def read_weights(path: PathLike) -> Dict[str, np.ndarray]:
    """Read the tensors of a weight file, under the names that it gives them.

    Wrappers (``state_dict_ema`` before ``state_dict`` before ``model``; a ``module.`` prefix) are taken off, and
    bfloat16 becomes float32.

    Args:
        path: of a ``.pdparams`` or ``.safetensors`` file; the suffix may be left out.

    Raises:
        WeightsError: the file is missing, of another format, damaged, refused, or holds no tensors.
    """
    file = find_file(path)
    reader = _READERS.get(file.suffix)
    if reader is None:
        raise WeightsError(
            f"{file}: cannot read {file.suffix or 'files without a suffix'}; weights are {' or '.join(_READERS)} files"
        )
    tensors = reader(file)
    if not tensors:
        raise WeightsError(f"{file}: holds no tensors")
    if all(name.startswith("module.") for name in tensors):
        return {name[len("module.") :]: array for name, array in tensors.items()}
    return tensors


def _read_pdparams(path: Path) -> Dict[str, np.ndarray]:
    content = restricted_load(path)
    for wrapper in _WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    content.pop(_PADDLE_NAMES, None)
    other = [name for name, value in content.items() if not isinstance(value, (np.ndarray, np.generic))]
    if other:
        raise WeightsError(f"{path}: not a weight file: {other[0]!r} is a {type(content[other[0]]).__name__}")
    return {str(name): _widen(np.asarray(array)) for name, array in content.items()}


def _widen(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint16:
        return array
    # No weight is an unsigned integer: this is bfloat16, the upper half of a float32.
    return (array.astype(np.uint32) << 16).view(np.float32)


def _read_safetensors(path: Path) -> Dict[str, np.ndarray]:
    # Not by safetensors.numpy, which has no bfloat16.
    try:
        entries = deserialize(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged, or not a safetensors file ({error})") from None
    tensors: Dict[str, np.ndarray] = {}
    for name, entry in entries:
        if entry["dtype"] not in _SAFETENSORS:
            raise WeightsError(f"{path}: {name} is of type {entry['dtype']}, which no weight has")
        tensors[name] = _widen(np.frombuffer(entry["data"], _SAFETENSORS[entry["dtype"]]).reshape(entry["shape"]))
    return tensors


_READERS: Dict[str, Callable[[Path], Dict[str, np.ndarray]]] = {
    ".pdparams": _read_pdparams,
    ".safetensors": _read_safetensors,
}
