"""The pickle inside a PyTorch file, read without PyTorch and without running what it contains.

No name in the file is ever imported. Tensors become descriptions (``Tensor``); the few functions that rebuild them have
stand-ins; classes that checkpoints keep beside the weights, such as ``argparse.Namespace``, become objects that take
everything and do nothing. Every other name is refused, because a weight file that asks for it is not to be trusted.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import sys
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, NamedTuple, Tuple

from ppcls.arch.weights.unpickling import NUMPY, Function, RefusedError


class Kind(NamedTuple):
    """A type of numbers: NumPy's little-endian code; bfloat16 has none, and is the upper half of a float32."""

    code: str
    bfloat16: bool = False


class Storage(NamedTuple):
    """A run of ``numel`` numbers, ``start`` numbers into the record called ``key``, which has ``total`` of them."""

    key: str
    kind: Kind
    numel: int
    start: int
    total: int


class Tensor(NamedTuple):
    """A strided view of a storage; nothing in it is checked yet."""

    storage: Storage
    kind: Kind
    offset: int
    size: Tuple[int, ...]
    stride: Tuple[int, ...]


class State(dict):
    """Stands for ``OrderedDict``; the attributes that PyTorch hangs on it (``_metadata``) are left out."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Ignore attributes."""


class Inert:
    """Stands for an object of any class: takes everything, keeps nothing, does nothing."""

    __slots__ = ()

    def __new__(cls, *arguments: Any) -> Inert:
        """Take any arguments."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Ignore attributes."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry of a dict's subclass."""

    def append(self, item: Any) -> None:
        """Ignore an item of a list's subclass."""

    def extend(self, items: Any) -> None:
        """Ignore items of a list's subclass."""

    def add(self, item: Any) -> None:
        """Ignore a member of a set's subclass."""


_BYTES = Kind("u1")
_KINDS = {
    "Double": Kind("<f8"),
    "Float": Kind("<f4"),
    "Half": Kind("<f2"),
    "BFloat16": Kind("<u2", bfloat16=True),
    "Long": Kind("<i8"),
    "Int": Kind("<i4"),
    "Short": Kind("<i2"),
    "Char": Kind("i1"),
    "Byte": _BYTES,
    "Bool": _BYTES,
}
# PyTorch's names of the same as types of tensors, which only some files mention.
_DTYPES = {
    "float64": _KINDS["Double"],
    "float32": _KINDS["Float"],
    "float16": _KINDS["Half"],
    "bfloat16": _KINDS["BFloat16"],
    "int64": _KINDS["Long"],
    "int32": _KINDS["Int"],
    "int16": _KINDS["Short"],
    "int8": _KINDS["Char"],
    "uint8": _BYTES,
    "bool": _BYTES,
}


def _tensor(storage: Storage, offset: int, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return Tensor(storage, storage.kind, offset, size, stride)


def _typed_tensor(storage: Storage, offset: int, size: Any, stride: Any, _: Any, __: Any, kind: Kind, *___: Any) -> Any:
    if not isinstance(storage, Storage) or not isinstance(kind, Kind):
        raise pickle.UnpicklingError("a tensor without a storage or a type")
    return Tensor(storage, kind, offset, size, stride)


def _first(first: Any, *_: Any) -> Any:
    """Stand for what wraps a tensor: ``Parameter`` and its like."""
    return first


def _subclass(rebuild: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """Stand for what rebuilds a tensor with attributes or of a subclass."""
    if not isinstance(rebuild, Function) or not isinstance(arguments, tuple):
        raise pickle.UnpicklingError("a tensor that is rebuilt in an unknown way")
    return rebuild(*arguments)


def _state(*items: Any) -> State:
    return State(*items)


def _nothing(*_: Any) -> Inert:
    return Inert()


_ALLOWED: Dict[Tuple[str, str], Any] = {
    **NUMPY,
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Function(_typed_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(_first),
    ("torch._utils", "_rebuild_parameter_with_state"): Function(_first),
    ("torch._tensor", "_rebuild_from_type_v2"): Function(_subclass),
    ("torch", "Size"): Function(_first),
    ("torch.storage", "UntypedStorage"): _BYTES,
    ("collections", "OrderedDict"): Function(_state),
    **{("torch", f"{name}Storage"): kind for name, kind in _KINDS.items()},
    **{("torch.cuda", f"{name}Storage"): kind for name, kind in _KINDS.items()},
    **{("torch", name): kind for name, kind in _DTYPES.items()},
    **{
        (module, name): Function(_nothing)
        for module, names in {
            "torch": ("device",),
            "collections": ("defaultdict", "Counter", "deque"),
            "builtins": ("set", "frozenset", "slice", "complex", "bytearray"),
            "__builtin__": ("set", "frozenset", "slice", "complex", "bytearray", "xrange"),
        }.items()
        for name in names
    },
}
# Harmless classes of the standard library that checkpoints keep beside the weights.
_INERT = {
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    *(("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(("pathlib._local", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(("datetime", name) for name in ("datetime", "date", "time", "timedelta")),
}
# Python 3.9 has no list of its own modules.
_STANDARD = frozenset(
    getattr(sys, "stdlib_module_names", ())
    or {*sys.builtin_module_names, *(entry.stem for entry in Path(os.__file__).parent.iterdir())}
) | {"__builtin__", "copy_reg", "commands"}


def is_harmless(module: str, name: str) -> bool:
    """Return whether a name may belong to a checkpoint's settings: a class, and none of Python's own library's."""
    last = name.rpartition(".")[2]
    own = module.partition(".")[0] in _STANDARD
    return (module, name) in _INERT or (not own and last[:1].isupper() and last.isidentifier())


class _Unpickler(pickle.Unpickler):
    """Makes descriptions of tensors, plain containers, numbers and strings, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        # PyTorch under Python 2 wrote names as bytes.
        super().__init__(file, encoding="latin1")
        self.storages: Dict[str, Storage] = {}
        self.classes: Dict[Tuple[str, str], Callable[..., Any]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a name; nothing is imported."""
        key = (module, name)
        if key in _ALLOWED:
            return _ALLOWED[key]
        if not is_harmless(module, name):
            raise RefusedError(f"{module}.{name}")
        if key not in self.classes:
            self.classes[key] = type(name, (Inert,), {"__slots__": (), "__module__": module})
        return self.classes[key]

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage that ("storage", type, key, device, size[, view]) describes."""
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            if isinstance(pid, tuple) and pid and pid[0] == "module":
                return pid[1]  # a class, with its source text, of a whole pickled model
            raise pickle.UnpicklingError(f"a reference to {str(pid)[:50]!r}")
        _, kind, key, _, total, *view = pid
        if not isinstance(kind, Kind) or not isinstance(key, str) or type(total) is not int or total < 0:
            raise pickle.UnpicklingError(f"a storage of an unknown type ({getattr(kind, '__name__', kind)})")
        whole = Storage(key, kind, total, 0, total)
        if self.storages.setdefault(key, whole) != whole:
            raise pickle.UnpicklingError(f"two descriptions of storage {key!r}")
        if not view or view[0] is None:
            return whole
        _, start, numel = view[0]
        if type(start) is not int or type(numel) is not int or not 0 <= start <= start + numel <= total:
            raise pickle.UnpicklingError(f"a view outside storage {key!r}")
        return Storage(key, kind, numel, start, total)


def _check_instructions(file: BinaryIO) -> None:
    """Refuse, before anything is built, instructions that fill memory or that leave the allow-list aside."""
    start = file.tell()
    for index, (instruction, argument, _) in enumerate(pickletools.genops(file)):
        if instruction.name.endswith("PUT") and int(argument or 0) > index:
            raise pickle.UnpicklingError("a table of references larger than the file")
        if instruction.name.startswith("EXT"):
            raise RefusedError("an object registered with copyreg")
    file.seek(start)


def load_description(file: BinaryIO) -> Tuple[Any, Dict[str, Storage]]:
    """Read one pickle at the file's position; return its content and the storages that it mentions by key.

    Raises:
        RefusedError: it asks for a name that weights do not need.
        Exception: one of ``DAMAGED``, if it is no valid pickle.
    """
    _check_instructions(file)
    unpickler = _Unpickler(file)
    return unpickler.load(), unpickler.storages
