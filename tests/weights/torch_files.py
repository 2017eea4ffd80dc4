"""PyTorch's files, made without PyTorch: the opcodes and records that torch.save writes."""

import io
import pickle
import struct
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from ppcls.weights import create_model, read_weights
from ppcls.weights.names import name_schemes_of

MAGIC = 0x1950A86A20F9469CFC6C
STORAGES = {"<f8": "Double", "<f4": "Float", "<f2": "Half", "<u2": "BFloat16", "<i8": "Long", "|u1": "Byte"}


@dataclass(frozen=True)
class Name:
    """A global, written without being looked up."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """A call of a global (pickle's REDUCE), followed by a state (BUILD)."""

    function: Any
    arguments: tuple
    state: Any = None


@dataclass(frozen=True)
class Reference:
    """A persistent id."""

    pid: tuple


class Pickler(pickle._Pickler):
    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, Name):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())
        elif isinstance(obj, Call):
            self.save(obj.function)
            self.save(obj.arguments)
            self.write(b"R")
            if obj.state is not None:
                self.save(obj.state)
                self.write(b"b")
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        return obj.pid if isinstance(obj, Reference) else None


class Weights:
    """Collects storages while a content is put together."""

    def __init__(self):
        self.storages, self.itemsizes = {}, {}

    def storage(self, array, key=None, **changes):
        key = str(len(self.storages)) if key is None else key
        self.storages[key] = np.ascontiguousarray(array).tobytes()
        self.itemsizes[key] = array.itemsize
        kind = changes.get("kind", STORAGES[array.dtype.str])
        return Reference(("storage", Name("torch", f"{kind}Storage"), key, "cpu", changes.get("numel", array.size)))

    def tensor(self, array, storage=None, offset=0, size=None, stride=None):
        array = np.asarray(array)
        storage = storage or self.storage(array)
        size = array.shape if size is None else size
        stride = tuple(s // array.itemsize for s in np.ascontiguousarray(array).strides) if stride is None else stride
        if array.ndim == 0:
            stride = ()
        hooks = Call(Name("collections", "OrderedDict"), ())
        return Call(Name("torch._utils", "_rebuild_tensor_v2"), (storage, offset, size, stride, False, hooks))

    def parameter(self, array):
        hooks = Call(Name("collections", "OrderedDict"), ())
        return Call(Name("torch._utils", "_rebuild_parameter"), (self.tensor(array), True, hooks))

    def state(self, arrays):
        """Return an OrderedDict with the attribute that modules give it."""
        pairs = [[name, self.tensor(array)] for name, array in arrays.items()]
        return Call(Name("collections", "OrderedDict"), (pairs,), {"_metadata": {"": {"version": 1}}})

    def save(self, path, content, legacy=False, protocol=2, **changes):
        (self.save_legacy if legacy else self.save_zip)(path, dump(content, protocol), protocol, **changes)

    def save_zip(self, path, pickled, protocol=2, order=b"little", compression=zipfile.ZIP_STORED, extra=()):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("model/data.pkl", pickled)
            archive.writestr("model/byteorder", order)
            for key, content in self.storages.items():
                archive.writestr(f"model/data/{key}", content)
            archive.writestr("model/version", b"3\n")
            for name in extra:
                archive.writestr(name, b"")

    def save_legacy(self, path, pickled, protocol=2, little=True, counts=None):
        with path.open("wb") as file:
            for header in (MAGIC, 1001, {"protocol_version": 1001, "little_endian": little, "type_sizes": {"int": 4}}):
                file.write(dump(header, protocol))
            file.write(pickled + dump(list(self.storages), protocol))
            for key, content in self.storages.items():
                count = len(content) // self.itemsizes[key] if counts is None else counts[key]
                file.write(struct.pack("<q", count) + content)


def dump(content, protocol=2):
    file = io.BytesIO()
    Pickler(file, protocol).dump(content)
    return file.getvalue()


# PyTorch writes zip archives, and wrote pickles one after the other before.
both = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def tiny(**arguments):
    """Return a small ConvMixer."""
    return create_model("ConvMixer", **{"dim": 8, "depth": 2, "patch_size": 4, "class_num": 5, **arguments})


def timm_state(model):
    """Return a model's weights by timm's names."""
    naming = next(naming for naming in name_schemes_of(model) if naming.source == "timm")
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    names = naming.restore(list(state))
    return {names[name]: array.T if name == "head.weight" else array for name, array in state.items()}


def read(path, content, weights, legacy=False, **changes):
    """Save a content with its weights, and read it."""
    weights.save(path, content, legacy, **changes)
    return read_weights(path)
