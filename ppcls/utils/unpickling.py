"""Read pickles of arrays without running anything that they ask for.

Python's unpickler imports and calls whatever a file names. Here every name is looked up in an allow-list that the
caller gives, and each allowed name has a stand-in: not even NumPy's own functions are called, which crash on damaged
input. Before a pickle is read, its opcodes are checked for those that would fill memory or never end.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
import re
from typing import Any, BinaryIO, Callable, Dict, List, Mapping, Tuple

import numpy as np

from ppcls.utils.text import printable

# (module, name) of a global, as a pickle names it.
Name = Tuple[str, str]

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

# Objects, each counted as often as it is referred to: no file of weights or images has so many. A few hundred bytes can
# stand for more than fits into memory, as a tuple of twice the same tuple, and so on; hashing or printing never ends.
_MAX_OBJECTS = 10_000_000
_MARK = 0


class RefusedError(Exception):
    """A pickle asks for a name that is not on the allow-list."""


class FunctionStandIn:
    """Stands in for a callable that files name. Unlike a Python function, a pickle cannot change it."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function that was given."""
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError("a change of a function")

    def __setstate__(self, state: Any) -> None:
        """Refuse what pickle's BUILD would otherwise write into this object."""
        raise pickle.UnpicklingError("a change of a function")


class DtypeStandIn:
    """Stands in for ``numpy.dtype``: numbers and truth values only, no Python objects.

    Attributes:
        dtype: the type that the file means.
    """

    def __init__(self, code: Any, align: bool = False, copy: bool = False) -> None:
        code = _text(code)
        if not re.fullmatch(r"\|?([fiu][1248]|b1)", code):
            raise pickle.UnpicklingError(f"array of type '{printable(code)}'")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Tuple[Any, ...]) -> None:
        """Take the byte order; the rest describes types that are not allowed here."""
        self.dtype = self.dtype.newbyteorder(_text(state[1]))


class ArrayStandIn:
    """Stands in for ``numpy.ndarray``, whose own unpickling trusts the file.

    Attributes:
        value: the array, in this machine's byte order and writable.
    """

    value: np.ndarray

    def __setstate__(self, state: Tuple[Any, ...]) -> None:
        """Take (version, shape, type, whether column by column, bytes) and make the array."""
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, DtypeStandIn) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("an array without type or bytes")
        if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError("an array whose shape is not whole numbers")
        if math.prod(shape) * dtype.dtype.itemsize != len(data):
            raise pickle.UnpicklingError(f"an array of shape {shape} with {len(data)} bytes")
        flat = np.frombuffer(data, dtype.dtype).astype(dtype.dtype.newbyteorder("="))
        self.value = flat.reshape(shape, order="F" if fortran else "C")


def _text(code: Any) -> str:
    """Return a text of a pickle; with ``encoding="bytes"``, those that Python 2 wrote are bytes."""
    if isinstance(code, bytes):
        return code.decode("ascii")
    if not isinstance(code, str):
        raise pickle.UnpicklingError(f"a {type(code).__name__} instead of a text")
    return code


def _reconstruct(array_type: Any, shape: Any, code: Any) -> ArrayStandIn:
    if array_type is not ArrayStandIn:
        raise pickle.UnpicklingError("an array of another class than numpy.ndarray")
    return ArrayStandIn()


def _scalar(dtype: DtypeStandIn, data: bytes) -> np.generic:
    return np.frombuffer(data, dtype.dtype, count=1)[0]


def _encode_latin1(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, by which Python 3 writes bytes in protocols up to 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes in another encoding than latin1")
    return text.encode("latin1")


def _make_tuple(items: Tuple[Any, ...] = ()) -> Tuple[Any, ...]:
    """Stand in for ``tuple``, by which Paddle writes a tensor as (name, array)."""
    return tuple(items)


def _empty_bytes() -> bytes:
    """Stand in for ``bytes``, by which protocol 2 writes the data of an empty array."""
    return b""


# What pickles of plain arrays, numbers and containers name; NumPy 2 renamed its core.
NUMPY: Mapping[Name, Callable[..., Any]] = {
    ("numpy", "ndarray"): ArrayStandIn,
    ("numpy", "dtype"): DtypeStandIn,
    ("numpy.core.multiarray", "_reconstruct"): FunctionStandIn(_reconstruct),
    ("numpy._core.multiarray", "_reconstruct"): FunctionStandIn(_reconstruct),
    ("numpy.core.multiarray", "scalar"): FunctionStandIn(_scalar),
    ("numpy._core.multiarray", "scalar"): FunctionStandIn(_scalar),
    ("_codecs", "encode"): FunctionStandIn(_encode_latin1),
    ("builtins", "tuple"): FunctionStandIn(_make_tuple),
    ("__builtin__", "tuple"): FunctionStandIn(_make_tuple),  # Python 2's name, which protocol 2 writes
    ("builtins", "bytes"): FunctionStandIn(_empty_bytes),
    ("__builtin__", "bytes"): FunctionStandIn(_empty_bytes),
}


class RestrictedUnpickler(pickle.Unpickler):
    """Reads one pickle with stand-ins for the names that it may use; nothing is imported.

    Args:
        file: at the position where the pickle begins.
        allowed: the stand-in of each name.
        encoding: of the texts that Python 2 wrote, see ``pickle.Unpickler``.
    """

    def __init__(self, file: BinaryIO, allowed: Mapping[Name, Any], encoding: str = "ASCII") -> None:
        super().__init__(file, encoding=encoding)
        self._file = file
        self._allowed = allowed

    def load(self) -> Any:
        """Return the content, with stand-ins in it.

        Raises:
            RefusedError: the pickle asks for a name that is not allowed.
            Exception: one of ``DAMAGED``, if it is no valid pickle or would fill memory.
        """
        check_opcodes(self._file)
        return super().load()

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in of a name."""
        if (module, name) in self._allowed:
            return self._allowed[module, name]
        return self.find_unlisted(module, name)

    def find_unlisted(self, module: str, name: str) -> Any:
        """Refuse a name that is not on the allow-list; a subclass may let some through."""
        raise RefusedError(f"{printable(module)}.{printable(name)}")


def check_opcodes(file: BinaryIO) -> None:
    """Refuse opcodes that fill memory, never end, or bypass the allow-list; leave the file at its position.

    Raises:
        RefusedError: objects registered with copyreg are asked for.
        Exception: one of ``DAMAGED``, if it is no valid pickle or would fill memory.
    """
    start = file.tell()
    end = file.seek(0, io.SEEK_END)
    file.seek(start)
    stack: List[int] = []  # of each object, how many objects it refers to
    memo: Dict[int, int] = {}
    opcode: pickletools.OpcodeInfo
    argument: Any
    for index, (opcode, argument, position) in enumerate(pickletools.genops(file)):
        name = opcode.name
        if name.startswith("EXT"):
            raise RefusedError("an object registered with copyreg")
        if name == "FRAME" and argument > end - (position or 0):
            raise pickle.UnpicklingError("a frame larger than the file")
        if name.endswith("PUT") or name == "MEMOIZE":
            key = len(memo) if name == "MEMOIZE" else int(argument)
            if key > index:
                raise pickle.UnpicklingError("a table of references larger than the file")
            memo[key] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo.get(int(argument), 1))
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            size = 1 + _pop_operands(stack, opcode.stack_before)
            if size > _MAX_OBJECTS:
                raise pickle.UnpicklingError("objects that refer to each other beyond reason")
            stack.extend(size for _ in opcode.stack_after)
    file.seek(start)


def _pop_operands(stack: List[int], operands: List[Any]) -> int:
    """Take an opcode's operands from the stack; return how many objects they refer to."""
    total, count = 0, len(operands)
    if pickletools.markobject in operands:
        count = operands.index(pickletools.markobject)
        while True:
            size = stack.pop()
            if size == _MARK:
                break
            total += size
    return total + sum(stack.pop() for _ in range(count))
