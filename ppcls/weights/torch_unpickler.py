"""The pickle inside a PyTorch file, read without PyTorch and without running what it contains.

No name in the file is ever imported. Tensors become descriptions (``Tensor``); the few functions that rebuild them have
stand-ins; classes that checkpoints keep beside the weights, such as ``argparse.Namespace``, become objects that take
everything and do nothing. Every other name is refused, because a weight file that asks for it is not to be trusted.
"""

from __future__ import annotations

import os
import pickle
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, NamedTuple, Tuple

from ppcls.weights.pickle_opcodes import RefusedError, check_instructions, shown
from ppcls.weights.unpickler import NUMPY, Function


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


class Unreadable(NamedTuple):
    """Stands for a tensor that is no plain run of numbers: what it is, and what would help."""

    what: str


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
    "ComplexFloat": Kind("<c8"),
    "ComplexDouble": Kind("<c16"),
    # The numbers inside quantized tensors, which are not read, but stand between others.
    "QInt8": Kind("i1"),
    "QInt32": Kind("<i4"),
    "QUInt8": _BYTES,
    "QUInt4x2": _BYTES,
    "QUInt2x4": _BYTES,
}
# PyTorch's names of the same as types of tensors, which only some files mention.
_DTYPES: Dict[str, Any] = {
    "float64": _KINDS["Double"],
    "float32": _KINDS["Float"],
    "float16": _KINDS["Half"],
    "bfloat16": _KINDS["BFloat16"],
    "int64": _KINDS["Long"],
    "int32": _KINDS["Int"],
    "int16": _KINDS["Short"],
    "int8": _KINDS["Char"],
    "uint64": Kind("<u8"),
    "uint32": Kind("<u4"),
    "uint16": Kind("<u2"),
    "uint8": _BYTES,
    "bool": _BYTES,
    "complex64": _KINDS["ComplexFloat"],
    "complex128": _KINDS["ComplexDouble"],
}
_NO_KIND = re.compile(r"float[48]_\w+|complex32|q?u?int\d+(x\d+)?")  # lower case, so no class
_QUANTIZATIONS = ("tensor_affine", "tensor_symmetric", "channel_affine", "channel_symmetric")
_UNREADABLE = {
    "_rebuild_sparse_tensor": "a sparse tensor; save it after to_dense()",
    "_rebuild_sparse_csr_tensor": "a sparse tensor; save it after to_dense()",
    "_rebuild_qtensor": "a quantized tensor; save it after dequantize()",
    "_rebuild_nested_tensor": "a nested tensor; save its parts",
    "_rebuild_meta_tensor_no_storage": "a tensor of the meta device, which has no numbers",
    "_rebuild_wrapper_subclass": "a tensor whose numbers are elsewhere; save it as a plain one",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device; save it after cpu()",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another device; save it after cpu()",
}


def _tensor(storage: Storage, offset: int, size: Any, stride: Any, *rest: Any) -> Any:
    """Stand for ``_rebuild_tensor`` and ``_rebuild_tensor_v2``; rest: needs a gradient, hooks, metadata."""
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _plain(Tensor(storage, storage.kind, offset, size, stride), rest[2:])


def _typed_tensor(storage: Storage, offset: int, size: Any, stride: Any, _: Any, __: Any, kind: Any, *rest: Any) -> Any:
    if isinstance(kind, Unreadable):
        return kind
    if not isinstance(storage, Storage) or not isinstance(kind, Kind):
        raise pickle.UnpicklingError("a tensor without a storage or a type")
    return _plain(Tensor(storage, kind, offset, size, stride), rest)


def _plain(tensor: Tensor, metadata: Tuple[Any, ...]) -> Any:
    """Return ``tensor``, unless its numbers are meant with another sign."""
    for entries in metadata:
        if isinstance(entries, dict) and (entries.get("neg") or entries.get("conj")):
            return Unreadable(
                "a tensor that is to be negated or conjugated; save it after resolve_neg(), resolve_conj()"
            )
    return tensor


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


# Types that settings mention, and whose objects they contain.
_BUILTINS = (
    *("set", "frozenset", "slice", "complex", "bytearray", "int", "float", "str", "bool", "list", "dict", "object"),
    *("Ellipsis", "NotImplemented"),
)
_ALLOWED: Dict[Tuple[str, str], Any] = {
    **NUMPY,
    # Arrays of NumPy's are beside the weights here, of any type.
    **{name: Function(_nothing) for name in NUMPY if name[0].startswith("numpy")},
    **{("torch._utils", name): Function(lambda *_, what=what: Unreadable(what)) for name, what in _UNREADABLE.items()},
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): Function(_typed_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(_first),
    ("torch._utils", "_rebuild_parameter_with_state"): Function(_first),
    ("torch._tensor", "_rebuild_from_type_v2"): Function(_subclass),
    ("torch", "Size"): Function(_first),
    ("torch.storage", "UntypedStorage"): _BYTES,
    ("collections", "OrderedDict"): Function(_state),
    ("collections", "defaultdict"): Function(lambda *_: State()),
    **{("torch", f"{name}Storage"): kind for name, kind in _KINDS.items()},
    **{("torch.cuda", f"{name}Storage"): kind for name, kind in _KINDS.items()},
    **{("torch", name): kind for name, kind in _DTYPES.items()},
    **{
        (module, name): Function(_nothing)
        for module, names in {
            "torch": ("device", *(f"per_{name}" for name in _QUANTIZATIONS), "per_channel_affine_float_qparams"),
            "torch.serialization": ("_get_layout",),
            "numpy.random.bit_generator": ("__pyx_unpickle_SeedSequence",),
            "numpy.random._pickle": ("__generator_ctor", "__bit_generator_ctor", "__randomstate_ctor"),
            "collections": ("Counter", "deque"),
            "builtins": _BUILTINS,
            "__builtin__": (*_BUILTINS, "xrange", "long", "unicode"),
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
# Activations, and types of numbers.
_INERT_FUNCTIONS = re.compile(
    r"(torch\.nn\.functional|torch\._C\._nn)\.[a-z]\w*|numpy\.(float|u?int|complex|bool)[\d_]*"
)
# Python 3.9 has no list of its own modules.
_STANDARD = frozenset(
    getattr(sys, "stdlib_module_names", ())
    or {*sys.builtin_module_names, *(entry.stem for entry in Path(os.__file__).parent.iterdir())}
) | {"__builtin__", "copy_reg", "commands"}


def is_harmless(module: str, name: str) -> bool:
    """Return whether a name may belong to a checkpoint's settings: a class, and none of Python's own library's."""
    last = name.rpartition(".")[2]
    own = module.partition(".")[0] in _STANDARD
    if (module, name) in _INERT or _INERT_FUNCTIONS.fullmatch(f"{module}.{name}"):
        return True
    return not own and last[:1].isupper() and last.isidentifier()


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
        if module == "torch" and _NO_KIND.fullmatch(name):
            return Unreadable(f"a tensor of {name} numbers; save it after float()")
        if not is_harmless(module, name):
            whole = any(known.startswith("torch.nn.") for known, _ in self.classes)
            hint = " (for a whole pickled model, it seems: save its state_dict() instead)" if whole else ""
            raise RefusedError(f"{shown(module)}.{shown(name)}{hint}")
        if key not in self.classes:
            self.classes[key] = type(name, (Inert,), {"__slots__": (), "__module__": module})
        return self.classes[key]

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage that ("storage", type, key, device, size[, view]) describes."""
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            if isinstance(pid, tuple) and pid and pid[0] == "module":
                return pid[1]  # a class, with its source text, of a whole pickled model
            raise pickle.UnpicklingError("a reference to something that is no storage")
        _, kind, key, _, total, *view = pid
        if not isinstance(kind, Kind):
            raise pickle.UnpicklingError(f"a storage of an unknown type ({shown(getattr(kind, '__name__', kind))})")
        if not isinstance(key, str) or type(total) is not int or total < 0:
            raise pickle.UnpicklingError("a storage without a name, or of an impossible size")
        whole = Storage(key, kind, total, 0, total)
        if self.storages.setdefault(key, whole) != whole:
            raise pickle.UnpicklingError(f"two descriptions of storage '{shown(key)}'")
        if not view or view[0] is None:
            return whole
        _, start, numel = view[0]
        if type(start) is not int or type(numel) is not int or not 0 <= start <= start + numel <= total:
            raise pickle.UnpicklingError(f"a view outside storage '{shown(key)}'")
        return Storage(key, kind, numel, start, total)


def load_description(file: BinaryIO) -> Tuple[Any, Dict[str, Storage]]:
    """Read one pickle at the file's position; return its content and the storages that it mentions by key.

    Raises:
        RefusedError: it asks for a name that weights do not need.
        Exception: one of ``DAMAGED``, if it is no valid pickle.
    """
    check_instructions(file)
    unpickler = _Unpickler(file)
    return unpickler.load(), unpickler.storages
