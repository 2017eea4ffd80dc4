"""Read what ``paddle.save`` wrote without running what it contains.

``paddle.load`` is an unrestricted unpickler: a file can make it run any code. This one knows the few names that genuine
files need and refuses every other. It does not even call NumPy's own functions for them, which crash on damaged input:
arrays are described first, then made from checked descriptions.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any, Callable, Dict, Optional, Tuple, Union

import numpy as np

from ppcls.errors import WeightsError
from ppcls.weights.pickle_opcodes import RefusedError, check_instructions, shown

# Paddle's way to say that protocols 2 and 3 cannot hold a tensor above 1 GiB.
_SPLIT = "UnpackBigParamInfor@@"
# What a damaged pickle raises, as found by flipping and cutting bytes of genuine files.
DAMAGED = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Function:
    """Stands for a callable that files name; unlike a Python function, a pickle cannot change it."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        """Do what the callable's stand-in does."""
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a change of a function")

    def __setstate__(self, state: Any) -> None:
        """Refuse what pickle's BUILD would otherwise write into this object."""
        raise pickle.UnpicklingError("a change of a function")


class _Dtype:
    """Stands for ``numpy.dtype``: numbers and truth values only, no Python objects."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not re.fullmatch(r"[fiu][1248]|b1", code):
            raise pickle.UnpicklingError(f"array of type '{shown(code)}'")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Tuple[Any, ...]) -> None:
        """Take the byte order; the rest describes types that are not allowed here."""
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``."""

    def __setstate__(self, state: Tuple[Any, ...]) -> None:
        """Take (version, shape, type, column by column?, bytes) and make the array."""
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array without type or bytes")
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError("an array whose shape is not whole numbers")
        if math.prod(shape) * dtype.dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array of shape {shape} with {len(data)} bytes")
        # A copy in this machine's byte order that can be written to.
        flat = np.frombuffer(data, dtype.dtype).astype(dtype.dtype.newbyteorder("="))
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _reconstruct(kind: Any, shape: Any, code: Any) -> _Array:
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of another class than numpy.ndarray")
    return _Array()


def _scalar(dtype: _Dtype, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _latin1(text: str, encoding: str) -> bytes:
    """Stand for ``_codecs.encode``, by which protocol 2 writes bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin1")


def _tuple(items: Tuple[Any, ...] = ()) -> Tuple[Any, ...]:
    """Stand for ``tuple``, by which Paddle writes a tensor as (name, array)."""
    return tuple(items)


def _no_bytes() -> bytes:
    """Stand for ``bytes``, by which protocol 2 writes an empty array's data."""
    return b""


# NumPy's and Python's own names in all that paddle.save 2.6 and 3.x write; NumPy 2 renamed its core.
NUMPY: Dict[Tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): Function(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): Function(_reconstruct),
    ("numpy.core.multiarray", "scalar"): Function(_scalar),
    ("numpy._core.multiarray", "scalar"): Function(_scalar),
    ("_codecs", "encode"): Function(_latin1),
    ("builtins", "tuple"): Function(_tuple),
    ("__builtin__", "tuple"): Function(_tuple),  # Python 2's name, which protocol 2 writes
    ("builtins", "bytes"): Function(_no_bytes),
    ("__builtin__", "bytes"): Function(_no_bytes),
}
_ALLOWED: Dict[Tuple[str, str], Callable[..., Any]] = {**NUMPY, ("collections", "OrderedDict"): OrderedDict}


class _Unpickler(pickle.Unpickler):
    """An unpickler that can make arrays, numbers, strings and containers, and nothing else."""

    def find_class(self, module: str, name: str) -> Callable[..., Any]:
        """Return the stand-in for a name on the allow-list."""
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise RefusedError(f"{shown(module)}.{shown(name)}") from None


def restricted_load(path: Union[str, Path]) -> Dict[str, Any]:
    """Read a file that ``paddle.save`` wrote: a dict, possibly nested, of arrays, numbers and strings.

    Tensors inside come back as arrays; bfloat16 ones as uint16, as they are stored.

    Raises:
        WeightsError: the file is missing, damaged, no such dict, or asks to run anything.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            check_instructions(file)
            content = _plain(_Unpickler(file).load())
    except RefusedError as refused:
        raise WeightsError(
            f"{path}: refused, because it asks for {refused}, which weights do not need; nothing was run. "
            "Do not trust this file"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except DAMAGED as error:
        raise WeightsError(
            f"{path}: damaged, or not a file of paddle.save ({type(error).__name__}: {error}); "
            f"it has {path.stat().st_size} bytes. Copy or download it again"
        ) from None
    if not isinstance(content, dict):
        raise WeightsError(f"{path}: expected a dict of arrays, found {type(content).__name__}")
    if _SPLIT in content:
        raise WeightsError(f"{path}: holds tensors above 1 GiB in pieces; save it again with protocol=4")
    return content


def _plain(value: Any, known: Optional[Dict[int, Any]] = None) -> Any:
    """Return ``value`` with arrays in place of their stand-ins.

    What occurs several times is made once: a small file can hold a list of lists of lists ... that would fill memory.
    """
    known = {} if known is None else known
    if id(value) in known:
        return known[id(value)]
    found = value
    if isinstance(value, dict):
        found = {key: _plain(item, known) for key, item in value.items()}
    elif isinstance(value, list):
        found = [_plain(item, known) for item in value]
    elif isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], _Array):
        found = value[1].value  # a tensor: (name, array)
    elif isinstance(value, tuple):
        found = tuple(_plain(item, known) for item in value)
    elif isinstance(value, _Array):
        found = value.value
    elif value is not None and not isinstance(value, (bool, int, float, complex, str, bytes, np.generic)):
        raise pickle.UnpicklingError(f"a {type(value).__name__} among the weights")
    known[id(value)] = found
    return found
