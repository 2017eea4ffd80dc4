"""Weight files of every format into arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Set, Tuple, Union

import numpy as np
from safetensors import SafetensorError, deserialize

from ppcls.errors import WeightsError
from ppcls.utils.paths import user_path
from ppcls.utils.text import printable
from ppcls.weights.paddle_reader import restricted_load
from ppcls.weights.torch_reader import LEGACY_START, ZIP_MAGIC, TorchFile
from ppcls.weights.torch_unpickler import Placeholder, TensorInfo, UnsupportedTensor

PathLike = Union[str, Path]

_MAX_LISTED = 5  # files of a folder in an error
TORCH_SUFFIXES = (".pth", ".pth.tar", ".pt", ".bin")
# In the order in which they are tried behind a path without one.
_SUFFIXES = (".pdparams", ".safetensors", *TORCH_SUFFIXES)
# Wrappers around the weights in training checkpoints, the preferred one first: averaged weights before plain ones.
_WRAPPERS = ("state_dict_ema", "model_ema", "state_dict", "model")
# What wrapping modules put before every name: (distributed) data parallel and averages, and torch.compile.
_PREFIXES = ("module.", "_orig_mod.")
# How many updates torch's AveragedModel has seen stands beside the weights.
_AVERAGE_COUNTER = "n_averaged"
# Paddle keeps its own variable names beside the weights.
_PADDLE_NAMES = "StructuredToParameterName@@"
# Little-endian by definition of the format; bfloat16 is widened afterwards, I64 occurs as a counter.
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
_HEADER_BYTES = 512
# (offset, bytes) that tell other kinds of files.
_OTHER_FORMATS = {
    (0, b"version https://git-lfs"): "a pointer of git-lfs to a file that was not fetched",
    (0, b"<"): "a web page, not weights",
    (0, b"\x1f\x8b"): "compressed with gzip; unpack it first",
    (257, b"ustar"): "a tar archive; unpack it first (PyTorch's own .pth.tar files are none)",
}


def find_file(path: PathLike) -> Path:
    """Return the weight file at ``path``, which may lack its suffix.

    Raises:
        WeightsError: there is none.
    """
    path = user_path(path)
    if not path.name:
        raise WeightsError(f"{path}: a folder; name a weight file")
    tried = [path, *(path.with_name(path.name + suffix) for suffix in _SUFFIXES)]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        inside = sorted(file for suffix in _SUFFIXES for file in path.glob(f"*{suffix}"))
        contents = f"; it holds {', '.join(str(file) for file in inside[:_MAX_LISTED])}" if inside else ""
        raise WeightsError(f"{path}: a folder; name a weight file{contents}")
    raise WeightsError(f"no weight file at {path}; tried {', '.join(str(candidate) for candidate in tried)}")


def read_weights(path: PathLike) -> Dict[str, np.ndarray]:
    """Read the tensors of a weight file, under the names that it gives them.

    Wrappers (``state_dict_ema`` and ``model_ema`` before ``state_dict`` before ``model``) and the prefixes ``module.``
    and ``_orig_mod.`` are removed. bfloat16 and float16 become float32.

    Args:
        path: of a file of Paddle's (``.pdparams``), of PyTorch's (``.pth``, ``.pth.tar``, ``.pt``, ``.bin``) or of
            safetensors. The content tells which it is, the suffix may be left out. PyTorch is not needed.

    Raises:
        WeightsError: the file is missing, of another format, damaged, refused, or holds no tensors.
    """
    file = find_file(path)
    tensors = _strip_prefixes(_reader_for(file)(file))
    if not tensors:
        raise WeightsError(f"{file}: holds no tensors")
    return {name: _to_float32(array) for name, array in tensors.items()}


def _reader_for(path: Path) -> Callable[[Path], Dict[str, np.ndarray]]:
    """Return the reader for what the file's first bytes look like."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEADER_BYTES)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    if start.startswith(ZIP_MAGIC) or (start[:1] == b"\x80" and LEGACY_START in start[:64]):
        return _read_torch
    # Eight bytes of length, then JSON.
    if start[5:9] == b"\0\0\0{" or path.suffix == ".safetensors":
        return _read_safetensors
    if start[:1] == b"\x80" or path.suffix == ".pdparams":
        return _read_pdparams
    for (offset, mark), description in _OTHER_FORMATS.items():
        if start[offset:].startswith(mark):
            raise WeightsError(f"{path}: {description}")
    raise WeightsError(
        f"{path}: {'not a known format' if start else 'empty'}; weights are files of Paddle (.pdparams), PyTorch "
        f"({', '.join(TORCH_SUFFIXES)}) or safetensors"
    )


def _unwrap(content: Any, path: Path) -> Dict[Any, Any]:
    """Return the dict of weights inside a checkpoint's wrappers."""
    if isinstance(content, Placeholder) and type(content) is not Placeholder:
        raise WeightsError(
            f"{path}: a whole pickled model ({printable(type(content).__name__)}), which needs its code; save its "
            "state_dict()"
        )
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found {_describe(content)}")
    seen: Set[int] = set()
    while id(content) not in seen:  # a dict can hold itself
        seen.add(id(content))
        inner = (content.get(name) for name in _WRAPPERS)
        content = next((value for value in inner if isinstance(value, dict) and value), content)
    for name in _WRAPPERS:
        if isinstance(content.get(name), Placeholder):
            return _unwrap(content[name], path)
    return content


def _require_types(content: Dict[Any, Any], types: Tuple[type, ...], path: Path) -> Dict[str, Any]:
    for name, value in content.items():
        if not isinstance(value, types):
            raise WeightsError(f"{path}: not a weight file: {printable(name)!r} is {_describe(value)}")
    return {str(name): value for name, value in content.items()}


def _describe(value: Any) -> str:
    """Return what an object out of a file is, for a message."""
    if isinstance(value, UnsupportedTensor):
        return value.description
    kind = next((kind for kind in (dict, Placeholder) if isinstance(value, kind)), type(value))
    return f"a {'special object' if kind is Placeholder else kind.__name__}"


def _strip_prefixes(tensors: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    for prefix in _PREFIXES:
        names = [name for name in tensors if name != _AVERAGE_COUNTER]
        if names and all(name.startswith(prefix) for name in names):
            return _strip_prefixes({name[len(prefix) :]: tensors[name] for name in names})
    return tensors


def _to_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _from_bfloat16(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint16:
        return array
    # No weight is an unsigned integer: this is bfloat16, the upper half of a float32.
    return (array.astype(np.uint32) << 16).view(np.float32)


def _read_pdparams(path: Path) -> Dict[str, np.ndarray]:
    content = dict(_unwrap(restricted_load(path), path))
    content.pop(_PADDLE_NAMES, None)
    arrays = _require_types(content, (np.ndarray, np.generic), path)
    return {name: _from_bfloat16(np.asarray(array)) for name, array in arrays.items()}


def _read_torch(path: Path) -> Dict[str, np.ndarray]:
    with TorchFile(path) as file:
        return file.arrays(_require_types(_unwrap(file.content, path), (TensorInfo,), path))


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
        array = np.frombuffer(entry["data"], _SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = _from_bfloat16(array)
    return tensors
