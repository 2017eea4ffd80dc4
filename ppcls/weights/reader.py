"""Weight files of every format into arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Tuple, Union

import numpy as np
from safetensors import SafetensorError, deserialize

from ppcls.errors import WeightsError
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path
from ppcls.utils.text import printable
from ppcls.weights.paddle_reader import restricted_load
from ppcls.weights.selection import Selection, select
from ppcls.weights.torch_reader import LEGACY_START, ZIP_MAGIC, TorchFile
from ppcls.weights.torch_unpickler import TensorInfo
from ppcls.weights.wording import CHOOSE
from ppcls.weights.wrappers import Wanted, list_names

PathLike = Union[str, Path]
Read = Tuple[Selection, Dict[str, np.ndarray]]

_MAX_LISTED = 5  # files of a folder in an error
TORCH_SUFFIXES = (".pth", ".pth.tar", ".pt", ".bin")
# In the order in which they are tried behind a path without one.
SUFFIXES = (".pdparams", ".safetensors", *TORCH_SUFFIXES)
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
        raise WeightsError(f"{path}: a folder; give a weight file")
    tried = [path, *(path.with_name(path.name + suffix) for suffix in SUFFIXES)]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    if path.is_dir():
        inside = sorted(file for suffix in SUFFIXES for file in path.glob(f"*{suffix}"))
        contents = f"; it holds {', '.join(str(file) for file in inside[:_MAX_LISTED])}" if inside else ""
        raise WeightsError(f"{path}: a folder; give a weight file{contents}")
    raise WeightsError(f"no weight file at {path}; tried {', '.join(str(candidate) for candidate in tried)}")


def read_weights(path: PathLike, key: Optional[str] = None) -> Dict[str, np.ndarray]:
    """Read the tensors of a weight file, under the names that it gives them.

    What training programs put around the weights is removed (see ``ppcls.weights.wrappers``): dicts such as
    ``state_dict``, prefixes such as ``module.``. Of several copies of the weights an average comes first, then a
    teacher, then the trained model, and a warning says which was taken. bfloat16 and float16 become float32.

    Args:
        path: of a file of Paddle's (``.pdparams``), of PyTorch's (``.pth``, ``.pth.tar``, ``.pt``, ``.bin``) or of
            safetensors. The content tells which it is, the suffix may be left out. PyTorch is not needed.
        key: which weights to take, such as "teacher" or "state_dict.model"; None takes the preferred ones.

    Raises:
        WeightsError: the file is missing, of another format, damaged, refused, or holds no tensors, or one with NaN or
            infinity.
    """
    found = read_selection(path, key)
    found.log()
    return found.arrays


@dataclass(frozen=True)
class ReadWeights:
    """The weights of a file.

    Attributes:
        file: where they were found.
        selection: what was taken from it, and what was not.
        arrays: by name, float16 and bfloat16 as float32.
    """

    file: Path
    selection: Selection
    arrays: Dict[str, np.ndarray]

    def log(self) -> None:
        """Say which weights were taken, where the file leaves a choice."""
        if str(self.selection):
            get_logger().warning("%s: %s", self.file, self.selection)


def read_selection(path: PathLike, key: Optional[str] = None, wanted: Optional[Wanted] = None) -> ReadWeights:
    """Read a weight file as ``read_weights`` does.

    Args:
        wanted: what the caller knows of the weights.

    Raises:
        WeightsError: as for ``read_weights``.
    """
    file = find_file(path)
    selection, tensors = _reader_for(file)(file, key, wanted or Wanted())
    if not tensors:
        raise WeightsError(f"{file}: holds no tensors")
    arrays = {name: _to_float32(array) for name, array in tensors.items()}
    require_finite(arrays, str(file), selection)
    return ReadWeights(file, selection, arrays)


def require_finite(arrays: Mapping[str, np.ndarray], origin: str, selection: Optional[Selection] = None) -> None:
    """Refuse weights with NaN or infinity in them: what they give is no result.

    Args:
        origin: the file, for messages.
        selection: what was taken from it.

    Raises:
        WeightsError: a tensor has such numbers.
    """
    broken = [
        f"{printable(name)} ({array.size - int(np.isfinite(array).sum())} of {array.size} numbers)"
        for name, array in arrays.items()
        if array.dtype.kind in "fc" and not np.isfinite(array).all()
    ]
    if broken:
        advice = ""
        if selection is not None and selection.others:
            advice = f"\nThis is {selection.copy}; the file also holds {list_names(selection.others)}: {CHOOSE}"
        raise WeightsError(
            f"{origin}: {len(broken)} of {len(arrays)} tensors have numbers that are not finite (NaN or infinity): "
            f"{list_names(broken)}. The training that wrote them diverged, or the file is damaged: use an earlier "
            f"checkpoint or another file{advice}"
        )


def _reader_for(path: Path) -> Callable[[Path, Optional[str], Wanted], Read]:
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


def _to_float32(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def _from_bfloat16(array: np.ndarray) -> np.ndarray:
    if array.dtype != np.uint16:
        return array
    # No weight is an unsigned integer: this is bfloat16, the upper half of a float32.
    return (array.astype(np.uint32) << 16).view(np.float32)


def _read_pdparams(path: Path, key: Optional[str], wanted: Wanted) -> Read:
    found = select(restricted_load(path), str(path), (np.ndarray, np.generic), key, wanted)
    return found, {name: _from_bfloat16(np.asarray(array)) for name, array in found.copy.tensors.items()}


def _read_torch(path: Path, key: Optional[str], wanted: Wanted) -> Read:
    with TorchFile(path) as file:
        found = select(file.content, str(path), (TensorInfo,), key, wanted)
        return found, file.arrays(found.copy.tensors)


def _read_safetensors(path: Path, key: Optional[str], wanted: Wanted) -> Read:
    # Not by safetensors.numpy, which has no bfloat16.
    try:
        entries = deserialize(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: damaged, or not a safetensors file ({error})") from None
    tensors: Dict[str, np.ndarray] = {}
    for name, entry in entries:
        if entry["dtype"] not in _SAFETENSORS:
            raise WeightsError(f"{path}: {name} has numbers of type {entry['dtype']}, which weights do not have")
        array = np.frombuffer(entry["data"], _SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
        tensors[name] = _from_bfloat16(array)
    found = select(tensors, str(path), (np.ndarray,), key, wanted)
    return found, found.copy.tensors
