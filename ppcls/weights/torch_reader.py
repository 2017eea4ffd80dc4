"""PyTorch's two file formats into arrays, without PyTorch.

Since 1.6 a file is a zip archive: ``NAME/data.pkl`` describes the tensors, ``NAME/data/KEY`` holds the numbers of one
storage, uncompressed. Before, it was a sequence of pickles (magic number, version, machine, content, storage keys)
followed by each storage's count and numbers. Only the storages that somebody asks for are read.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Dict, List, Mapping, Tuple

import numpy as np

from ppcls.errors import WeightsError
from ppcls.utils.text import printable
from ppcls.weights.file_errors import file_errors
from ppcls.weights.torch_unpickler import Storage, TensorInfo, load_description

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# The number as a pickle of protocol 2 and later holds it, behind a few bytes of header.
LEGACY_START = b"\x8a\x0a" + LEGACY_MAGIC.to_bytes(10, "little") + b"."
_LOCAL_HEADER = struct.Struct("<4s22xHH")
# Tensors can be larger than the file by repeated (stride 0) or shared numbers only, of which weights have few: they may
# have this many times the bytes of the file, and this many more.
_MAX_EXPANSION, _EXTRA_BYTES = 4, 1 << 24


class TorchFile:
    """An open file of PyTorch's: ``content`` with ``TensorInfo`` descriptions in it, and ``arrays`` to read them.

    Args:
        path: of a file that starts as one of the two formats does.

    Raises:
        WeightsError: the file is damaged, or asks to run anything.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: Any = None
        self._storages: Dict[str, Storage] = {}
        self._locations: Dict[str, Tuple[int, int]] = {}  # of each storage: where it starts and how many bytes it has
        self._checksums: Dict[str, int] = {}  # the zip archive's CRC of each storage; PyTorch can be told to leave it 0
        with file_errors(path, "torch.save"):
            self._file: BinaryIO = path.open("rb")
        try:
            self._size = os.fstat(self._file.fileno()).st_size
            with file_errors(path, "torch.save"):
                self._open()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def arrays(self, tensors: Mapping[str, TensorInfo]) -> Dict[str, np.ndarray]:
        """Read tensors as writable arrays of their own; bfloat16 comes as float32.

        Raises:
            WeightsError: a storage is damaged, cut off or missing, or a tensor reaches outside its storage.
        """
        with file_errors(self.path, "torch.save"):
            return self._read_all(tensors)

    def _open(self) -> None:
        if self._file.read(len(ZIP_MAGIC)) == ZIP_MAGIC:
            self._open_zip()
        else:
            self._file.seek(0)
            self._open_legacy()

    def _open_zip(self) -> None:
        with zipfile.ZipFile(self._file) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
        if len(entries) != len(archive.infolist()):
            raise pickle.UnpicklingError("two entries of the same name")
        descriptions = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(descriptions) != 1:
            raise pickle.UnpicklingError("a zip archive without PyTorch's data.pkl")
        root = descriptions[0][: -len("data.pkl")]
        if f"{root}constants.pkl" in entries:
            raise WeightsError(f"{self.path}: a TorchScript program; save the model's state_dict() instead")
        if f"{root}byteorder" in entries and self._read_entry(entries[f"{root}byteorder"]).strip() != b"little":
            raise WeightsError(f"{self.path}: written on a big-endian machine, which is not supported")
        self.content, self._storages = load_description(BytesIO(self._read_entry(entries[descriptions[0]])))
        for key in self._storages:
            entry = entries.get(f"{root}data/{key}")
            if entry is None:
                raise pickle.UnpicklingError(f"storage '{printable(key)}' is missing")
            self._locations[key], self._checksums[key] = self._locate(entry), entry.CRC

    def _locate(self, entry: zipfile.ZipInfo) -> Tuple[int, int]:
        """Return where an entry's bytes start and how many they are.

        PyTorch compresses nothing, so an entry cannot be larger than the file.
        """
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise pickle.UnpicklingError(f"{entry.filename} is compressed or encrypted, which PyTorch never does")
        self._file.seek(entry.header_offset)
        magic, name, extra = _LOCAL_HEADER.unpack(self._file.read(_LOCAL_HEADER.size))
        start = entry.header_offset + _LOCAL_HEADER.size + name + extra
        if magic != ZIP_MAGIC or start + entry.file_size > self._size:
            raise pickle.UnpicklingError(f"{entry.filename} is cut off")
        return start, entry.file_size

    def _read_entry(self, entry: zipfile.ZipInfo) -> bytes:
        return self._read_bytes(*self._locate(entry), entry.CRC, entry.filename).tobytes()

    def _open_legacy(self) -> None:
        magic, version, machine = (load_description(self._file)[0] for _ in range(3))
        if magic != LEGACY_MAGIC or version != 1001:
            raise pickle.UnpicklingError("not PyTorch's magic number and version")
        if not isinstance(machine, dict) or machine.get("little_endian") is not True:
            raise WeightsError(f"{self.path}: written on a big-endian machine, which is not supported")
        self.content, self._storages = load_description(self._file)
        keys, _ = load_description(self._file)
        if not isinstance(keys, list) or sorted(keys) != sorted(self._storages):
            raise pickle.UnpicklingError("the storages are not those that the tensors need")
        offset = self._file.tell()
        for key in keys:
            self._file.seek(offset)
            storage = self._storages[key]
            (count,) = struct.unpack("<q", self._file.read(8))
            size = storage.total * storage.dtype.itemsize
            if count != storage.total or offset + 8 + size > self._size:
                raise pickle.UnpicklingError(f"storage '{printable(key)}' is cut off, or its size is wrong")
            self._locations[key] = (offset + 8, size)
            offset += 8 + size

    def _read_all(self, tensors: Mapping[str, TensorInfo]) -> Dict[str, np.ndarray]:
        budget = _MAX_EXPANSION * self._size + _EXTRA_BYTES
        for name, tensor in tensors.items():
            budget -= _check_bounds(name, tensor)
            if budget < 0:
                raise pickle.UnpicklingError(f"{name} repeats its numbers beyond reason")
        users: Dict[str, List[str]] = {}
        for name, tensor in tensors.items():
            users.setdefault(tensor.storage.key, []).append(name)
        arrays: Dict[str, np.ndarray] = {}
        for key, names in users.items():
            flat = self._read_storage(self._storages[key])
            for name in names:
                arrays[name] = _view(flat, tensors[name], alone=len(names) == 1)
        return {name: arrays[name] for name in tensors}

    def _read_storage(self, storage: Storage) -> np.ndarray:
        """Return all bytes of a storage."""
        start, size = self._locations[storage.key]
        needed = storage.total * storage.dtype.itemsize
        if needed > size:
            raise pickle.UnpicklingError(f"storage '{printable(storage.key)}' has {size} bytes instead of {needed}")
        return self._read_bytes(start, size, self._checksums.get(storage.key, 0), f"storage '{printable(storage.key)}'")

    def _read_bytes(self, start: int, size: int, checksum: int, name: str) -> np.ndarray:
        content = np.empty(size, np.uint8)
        self._file.seek(start)
        if self._file.readinto(content.data) != size:  # type: ignore[attr-defined]
            raise pickle.UnpicklingError(f"{name} is cut off")
        if checksum and zlib.crc32(content.data) != checksum:
            raise pickle.UnpicklingError(f"{name} has another checksum than the archive says")
        return content


def _check_bounds(name: str, tensor: TensorInfo) -> int:
    """Refuse a tensor that reaches outside its storage; return how many bytes it will have."""
    storage, dtype, offset, size, stride = tensor
    numbers = (offset, *size, *stride)
    if not (isinstance(size, tuple) and isinstance(stride, tuple) and all(type(n) is int for n in numbers)):
        raise pickle.UnpicklingError(f"{name} has an offset, shape or strides that are not whole numbers")
    if len(size) != len(stride) or min(numbers) < 0:
        raise pickle.UnpicklingError(f"{name} has shape {size}, strides {stride} and offset {offset}")
    item, stored = dtype.itemsize, storage.dtype.itemsize
    count = math.prod(size)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride)) + 1 if count else offset
    if end * item > storage.numel * stored:
        raise pickle.UnpicklingError(f"{name} reaches to number {end} of a storage of {storage.numel}")
    return count * item


def _view(flat: np.ndarray, tensor: TensorInfo, alone: bool) -> np.ndarray:
    """Return the tensor's numbers out of its storage's bytes: the same memory only if nobody else uses that."""
    storage, dtype, offset, size, stride = tensor
    item = storage.dtype.itemsize
    numbers = flat[storage.start * item : (storage.start + storage.numel) * item]
    numbers = numbers[: len(numbers) // dtype.itemsize * dtype.itemsize].view(dtype.code)
    steps = tuple(step * numbers.itemsize for step in stride)
    view = np.lib.stride_tricks.as_strided(numbers[offset:], size, steps) if math.prod(size) else np.empty(size)
    if dtype.bfloat16:
        return (view.astype(np.uint32) << 16).view(np.float32)
    native = np.dtype(dtype.code).newbyteorder("=")
    whole = alone and view.size == numbers.size and view.flags.c_contiguous
    return numbers.reshape(size).astype(native, copy=False) if whole else np.array(view, native, order="C")
