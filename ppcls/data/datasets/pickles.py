"""Pickled dicts of arrays, read without running anything that the file asks for."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np

from ppcls.errors import DataError

# What damaged files raise, as found by flipping and cutting bytes of genuine ones.
_DAMAGE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class _Dtype:
    """Stands in for numpy.dtype: keeps the type's code."""

    def __init__(self, code: Any = b"", *flags: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)

    def __setstate__(self, state: Any) -> None:
        """Ignore byte order and alignment: single bytes have neither."""


class _Array:
    """Stands in for numpy.ndarray, whose own unpickling trusts the file."""

    def __setstate__(self, state: Tuple[Any, ...]) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state

    def pixels(self) -> np.ndarray:
        """Return the array.

        Raises:
            ValueError: it is not one of bytes, or its size is not what its shape says.
        """
        if self.dtype.code not in ("u1", "|u1") or not isinstance(self.data, bytes):
            raise ValueError(f"an array of {self.dtype.code}, not of bytes")
        return np.frombuffer(self.data, np.uint8).reshape(self.shape, order="F" if self.fortran else "C")


def _reconstruct(*arguments: Any) -> _Array:
    return _Array()


def _encode(text: str, encoding: str) -> bytes:
    """Python 3 writes bytes as text in the old pickle protocols."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("_codecs", "encode"): _encode,
}


# The one in Python: the one in C allocates what a damaged number asks for, whatever the size of the file.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for what the file names.

        Raises:
            pickle.UnpicklingError: there is none.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ALLOWED[module, name]


def read_dict(path: Path) -> Dict[bytes, Any]:
    """Return the pickled dict of plain values and uint8 arrays in a file; texts are bytes, as Python 2 wrote them.

    Raises:
        DataError: the file is missing or damaged, or asks for anything else.
    """
    try:
        with path.open("rb") as file:
            content = _Unpickler(file, encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError(f"holds a {type(content).__name__}, not a dict")
        return {key: value.pixels() if isinstance(value, _Array) else value for key, value in content.items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except _DAMAGE as error:
        raise DataError(f"{path}: damaged, or not one of the official files: {error}") from None
