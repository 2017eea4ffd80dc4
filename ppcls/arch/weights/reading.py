"""Weight files into arrays, without running what they contain.

``paddle.load`` is an unrestricted unpickler: a file can make it run any code. This one knows the few names that
genuine files need and refuses every other.
"""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable, Dict, Tuple, Union

import numpy as np
from safetensors import SafetensorError, safe_open

from ppcls.errors import WeightsError

PathLike = Union[str, Path]

# Wrappers around the weights in training checkpoints, the preferred one first: an average beats what it averages.
_WRAPPERS = ("state_dict_ema", "state_dict", "model")
# Paddle keeps its own variable names beside the weights.
_PADDLE_NAMES = "StructuredToParameterName@@"
# Paddle's way to say protocol 2 or 3 cannot hold a tensor above 1 GiB.
_SPLIT = "UnpackBigParamInfor@@"
# What a damaged pickle can raise, as found by flipping and cutting bytes of genuine files.
_DAMAGED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    SystemError,
    TypeError,
    ValueError,
    struct.error,
)


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in encoding {encoding!r}")
    return text.encode("latin1")


def _tuple(items: Tuple[Any, ...] = ()) -> Tuple[Any, ...]:
    """Stand in for ``tuple``, by which Paddle writes a tensor as (name, array)."""
    return tuple(items)


def _allowed() -> Dict[Tuple[str, str], Callable[..., Any]]:
    """Return the names that files of paddle.save 2.6 and 3.x hold, in protocols 2 to 4."""
    multiarray = np.zeros(0).__reduce__()[0].__module__  # numpy._core.multiarray; numpy.core.multiarray before 2.0
    reconstruct = np.zeros(0).__reduce__()[0]
    scalar = np.float32(0).__reduce__()[0]
    allowed: Dict[Tuple[str, str], Callable[..., Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _latin1,
        ("builtins", "tuple"): _tuple,
    }
    for module in ("numpy.core.multiarray", "numpy._core.multiarray", multiarray):
        allowed[module, "_reconstruct"] = reconstruct
        allowed[module, "scalar"] = scalar
    return allowed


class _RefusedError(Exception):
    """A pickle asks for something that weights have no use for."""


class _Unpickler(pickle.Unpickler):
    """An unpickler that can make arrays, numbers, strings and containers, and nothing else."""

    allowed = _allowed()

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return the callable for a name on the allow-list."""
        try:
            return self.allowed[module, name]
        except KeyError:
            raise _RefusedError(f"{module}.{name}") from None


def restricted_load(path: PathLike) -> Dict[str, Any]:
    """Read a file that ``paddle.save`` wrote: a dict, possibly nested, of arrays, numbers and strings.

    Tensors inside come back as arrays; bfloat16 ones as uint16, as they are stored.

    Raises:
        WeightsError: the file is missing, damaged, no such dict, or asks to run anything.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            content = _Unpickler(file).load()
    except _RefusedError as refused:
        raise WeightsError(
            f"{path}: refused, because it asks for {refused}, which weights do not need; nothing was run. "
            "Do not trust this file"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except _DAMAGED as error:
        raise WeightsError(
            f"{path}: damaged, or not a file of paddle.save ({type(error).__name__}: {error}); "
            f"it has {path.stat().st_size} bytes. Copy or download it again"
        ) from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found {type(content).__name__}")
    if _SPLIT in content:
        raise WeightsError(f"{path}: holds tensors above 1 GiB in pieces; save it again with protocol=4")
    return _plain(content, path)


def _plain(value: Any, path: Path) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item, path) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], np.ndarray):
        value = value[1]  # a tensor: (name, array)
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        raise WeightsError(f"{path}: damaged: holds an array of Python objects")
    return value


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
    try:
        with safe_open(str(path), framework="np") as file:
            return {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        raise WeightsError(f"{path}: damaged, or not a safetensors file ({error})") from None


_READERS: Dict[str, Callable[[Path], Dict[str, np.ndarray]]] = {
    ".pdparams": _read_pdparams,
    ".safetensors": _read_safetensors,
}
