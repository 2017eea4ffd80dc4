"""The pickle inside a PyTorch file, read without PyTorch and without running what it contains.

No name in the file is ever imported. Tensors become descriptions (``TensorInfo``), and the few functions that rebuild
them have stand-ins. Classes that checkpoints keep beside the weights, such as ``argparse.Namespace``, become objects
that take everything and do nothing. Every other name is refused: a weight file that asks for it is not to be trusted.
"""

from __future__ import annotations

import pickle
import re
from typing import Any, BinaryIO, Dict, Mapping, NamedTuple, Tuple

import numpy as np

from ppcls.utils.text import printable
from ppcls.utils.unpickling import NUMPY, FunctionStandIn, Name
from ppcls.weights.placeholders import SETTINGS, PlaceholderUnpickler, placeholder


class NumberType(NamedTuple):
    """A type of numbers: NumPy's little-endian code; bfloat16 has none, and is the upper half of a float32."""

    code: str
    bfloat16: bool = False

    @property
    def itemsize(self) -> int:
        """Return the bytes of one number."""
        return np.dtype(self.code).itemsize


class Storage(NamedTuple):
    """A run of ``numel`` numbers, ``start`` numbers into the record called ``key``, which has ``total`` of them."""

    key: str
    dtype: NumberType
    numel: int
    start: int
    total: int


class TensorInfo(NamedTuple):
    """A strided view of a storage; nothing in it is checked yet."""

    storage: Storage
    dtype: NumberType
    offset: int
    size: Tuple[int, ...]
    stride: Tuple[int, ...]


class UnsupportedTensor(NamedTuple):
    """Stands in for a tensor that is no plain run of numbers: what it is, and what would help."""

    description: str


class StateDict(dict):
    """Stands in for ``OrderedDict``; the attribute that PyTorch adds to it (``_metadata``) is left out."""

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        """Ignore attributes."""


_BYTES = NumberType("u1")
_STORAGE_TYPES = {
    "Double": NumberType("<f8"),
    "Float": NumberType("<f4"),
    "Half": NumberType("<f2"),
    "BFloat16": NumberType("<u2", bfloat16=True),
    "Long": NumberType("<i8"),
    "Int": NumberType("<i4"),
    "Short": NumberType("<i2"),
    "Char": NumberType("i1"),
    "Byte": _BYTES,
    "Bool": _BYTES,
    "ComplexFloat": NumberType("<c8"),
    "ComplexDouble": NumberType("<c16"),
    # The numbers inside quantized tensors, which are not read, but stand between others.
    "QInt8": NumberType("i1"),
    "QInt32": NumberType("<i4"),
    "QUInt8": _BYTES,
    "QUInt4x2": _BYTES,
    "QUInt2x4": _BYTES,
}
# PyTorch's names of the same as types of tensors, which only some files mention.
_DTYPES: Dict[str, Any] = {
    "float64": _STORAGE_TYPES["Double"],
    "float32": _STORAGE_TYPES["Float"],
    "float16": _STORAGE_TYPES["Half"],
    "bfloat16": _STORAGE_TYPES["BFloat16"],
    "int64": _STORAGE_TYPES["Long"],
    "int32": _STORAGE_TYPES["Int"],
    "int16": _STORAGE_TYPES["Short"],
    "int8": _STORAGE_TYPES["Char"],
    "uint64": NumberType("<u8"),
    "uint32": NumberType("<u4"),
    "uint16": NumberType("<u2"),
    "uint8": _BYTES,
    "bool": _BYTES,
    "complex64": _STORAGE_TYPES["ComplexFloat"],
    "complex128": _STORAGE_TYPES["ComplexDouble"],
}
_UNSUPPORTED_DTYPE = re.compile(r"float[48]_\w+|complex32|q?u?int\d+(x\d+)?")  # lower case, so no class
_QUANTIZATIONS = ("tensor_affine", "tensor_symmetric", "channel_affine", "channel_symmetric")
_UNSUPPORTED = {
    "_rebuild_sparse_tensor": "a sparse tensor; save it after to_dense()",
    "_rebuild_sparse_csr_tensor": "a sparse tensor; save it after to_dense()",
    "_rebuild_qtensor": "a quantized tensor; save it after dequantize()",
    "_rebuild_nested_tensor": "a nested tensor; save its parts",
    "_rebuild_meta_tensor_no_storage": "a tensor of the meta device, which has no numbers",
    "_rebuild_wrapper_subclass": "a tensor whose numbers are elsewhere; save it as a plain one",
    "_rebuild_device_tensor_from_numpy": "a tensor of another device; save it after cpu()",
    "_rebuild_device_tensor_from_cpu_tensor": "a tensor of another device; save it after cpu()",
}


def _rebuild_tensor(storage: Storage, offset: int, size: Any, stride: Any, *options: Any) -> Any:
    """Stand in for ``_rebuild_tensor`` and ``_rebuild_tensor_v2``; options: requires_grad, hooks, metadata."""
    if not isinstance(storage, Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _require_plain(TensorInfo(storage, storage.dtype, offset, size, stride), options[2:])


def _rebuild_typed_tensor(
    storage: Storage, offset: int, size: Any, stride: Any, _: Any, __: Any, dtype: Any, *metadata: Any
) -> Any:
    """Stand in for ``_rebuild_tensor_v3``."""
    if isinstance(dtype, UnsupportedTensor):
        return dtype
    if not isinstance(storage, Storage) or not isinstance(dtype, NumberType):
        raise pickle.UnpicklingError("a tensor without a storage or a type")
    return _require_plain(TensorInfo(storage, dtype, offset, size, stride), metadata)


def _require_plain(tensor: TensorInfo, metadata: Tuple[Any, ...]) -> Any:
    """Return ``tensor``, unless its numbers are meant with another sign."""
    for entries in metadata:
        if isinstance(entries, dict) and (entries.get("neg") or entries.get("conj")):
            return UnsupportedTensor(
                "a tensor that is to be negated or conjugated; save it after resolve_neg(), resolve_conj()"
            )
    return tensor


def _first_argument(first: Any, *_: Any) -> Any:
    """Stand in for what wraps a tensor: ``Parameter`` and its like."""
    return first


def _rebuild_subclass(rebuild: Any, _: Any, arguments: Any, *__: Any) -> Any:
    """Stand in for what rebuilds a tensor with attributes or of a subclass."""
    if not isinstance(rebuild, FunctionStandIn) or not isinstance(arguments, tuple):
        raise pickle.UnpicklingError("a tensor that is rebuilt in an unknown way")
    return rebuild(*arguments)


def _state_dict(*items: Any) -> StateDict:
    return StateDict(*items)


_ALLOWED: Mapping[Name, Any] = {
    **NUMPY,
    # Arrays of NumPy's are beside the weights here, of any type.
    **{name: FunctionStandIn(placeholder) for name in NUMPY if name[0].startswith("numpy")},
    **{
        ("torch._utils", name): FunctionStandIn(lambda *_, text=text: UnsupportedTensor(text))
        for name, text in _UNSUPPORTED.items()
    },
    ("torch._utils", "_rebuild_tensor"): FunctionStandIn(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): FunctionStandIn(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v3"): FunctionStandIn(_rebuild_typed_tensor),
    ("torch._utils", "_rebuild_parameter"): FunctionStandIn(_first_argument),
    ("torch._utils", "_rebuild_parameter_with_state"): FunctionStandIn(_first_argument),
    ("torch._tensor", "_rebuild_from_type_v2"): FunctionStandIn(_rebuild_subclass),
    ("torch", "Size"): FunctionStandIn(_first_argument),
    ("torch.storage", "UntypedStorage"): _BYTES,
    ("collections", "OrderedDict"): FunctionStandIn(_state_dict),
    ("collections", "defaultdict"): FunctionStandIn(lambda *_: StateDict()),
    **{("torch", f"{name}Storage"): dtype for name, dtype in _STORAGE_TYPES.items()},
    **{("torch.cuda", f"{name}Storage"): dtype for name, dtype in _STORAGE_TYPES.items()},
    **{("torch", name): dtype for name, dtype in _DTYPES.items()},
    **SETTINGS,
    **{
        ("torch", name): FunctionStandIn(placeholder)
        for name in ("device", *(f"per_{name}" for name in _QUANTIZATIONS), "per_channel_affine_float_qparams")
    },
    ("torch.serialization", "_get_layout"): FunctionStandIn(placeholder),
}


class _TorchUnpickler(PlaceholderUnpickler):
    """Makes descriptions of tensors, plain containers, numbers and strings, and nothing else."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file, _ALLOWED, encoding="latin1")  # PyTorch under Python 2 wrote names as bytes
        self.storages: Dict[str, Storage] = {}

    def find_unlisted(self, module: str, name: str) -> Any:
        """Return a placeholder for a class that does no harm; refuse every other name."""
        if module == "torch" and _UNSUPPORTED_DTYPE.fullmatch(name):
            return UnsupportedTensor(f"a tensor of {name} numbers; save it after float()")
        return super().find_unlisted(module, name)

    def persistent_load(self, pid: Any) -> Any:
        """Return the storage that ("storage", type, key, device, size[, view]) describes."""
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            if isinstance(pid, tuple) and pid and pid[0] == "module":
                return pid[1]  # a class, with its source text, of a whole pickled model
            raise pickle.UnpicklingError("a reference to something that is no storage")
        _, dtype, key, _, total, *view = pid
        if not isinstance(dtype, NumberType):
            raise pickle.UnpicklingError(
                f"a storage of an unknown type ({printable(getattr(dtype, '__name__', dtype))})"
            )
        if not isinstance(key, str) or type(total) is not int or total < 0:
            raise pickle.UnpicklingError("a storage without a name, or of an impossible size")
        whole = Storage(key, dtype, total, 0, total)
        if self.storages.setdefault(key, whole) != whole:
            raise pickle.UnpicklingError(f"two descriptions of storage '{printable(key)}'")
        if not view or view[0] is None:
            return whole
        _, start, numel = view[0]
        if type(start) is not int or type(numel) is not int or not 0 <= start <= start + numel <= total:
            raise pickle.UnpicklingError(f"a view outside storage '{printable(key)}'")
        return Storage(key, dtype, numel, start, total)


def load_description(file: BinaryIO) -> Tuple[Any, Dict[str, Storage]]:
    """Read one pickle at the file's position; return its content and the storages that it mentions by key.

    Raises:
        RefusedError: it asks for a name that weights do not need.
        Exception: one of ``ppcls.utils.unpickling.DAMAGED``, if it is no valid pickle.
    """
    unpickler = _TorchUnpickler(file)
    return unpickler.load(), unpickler.storages
