"""Arrays into weight files: Paddle's, safetensors', and PyTorch's without PyTorch."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Callable, Dict, Mapping, Optional, Union

import numpy as np
import paddle
from safetensors import SafetensorError
from safetensors.numpy import save_file

from ppcls.errors import WeightsError
from ppcls.utils import atomic
from ppcls.utils.logging import get_logger
from ppcls.weights.reader import TORCH_SUFFIXES
from ppcls.weights.record import WeightsRecord

_STORAGES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char"}
_STORAGES["u1"] = "Byte"
# PyTorch aligns storages, so that it can map them into memory.
_ALIGNMENT = 64
_LOCAL_HEADER = 30
_PICKLE_START, _DICT, _REBUILD, _NO_HOOKS = (
    b"\x80\x02",
    b"ccollections\nOrderedDict\n)R",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"\x89",
)


def format_of(path: Path) -> str:
    """Return "torch", "safetensors" or "pdparams" after a path's suffix.

    Raises:
        WeightsError: the suffix names none of them.
    """
    if path.name.endswith(TORCH_SUFFIXES):
        return "torch"
    if path.suffix in (".safetensors", ".pdparams"):
        return path.suffix[1:]
    raise WeightsError(
        f"{path}: the suffix does not tell the format; choose one of {', '.join(WRITERS)}, or end the path with "
        f".pdparams, .safetensors or {' or '.join(TORCH_SUFFIXES)}"
    )


def write_weights(
    arrays: Mapping[str, np.ndarray], path: Union[str, Path], to: str, record: Optional[WeightsRecord] = None
) -> bool:
    """Write tensors to a file, which appears there whole or not at all.

    Args:
        to: "torch" (its zip format, readable by ``torch.load(weights_only=True)``), "safetensors" or "pdparams".
        record: what to keep with them; of these formats, safetensors alone has a place for it.

    Returns:
        Whether the record was kept; the log says what was not.

    Raises:
        WeightsError: the file cannot be written.
    """
    path = Path(path)
    metadata = record.to_metadata() if record is not None else {}
    # Not ascontiguousarray, which makes a number a list of one.
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(path) as temporary:
            WRITERS[to](arrays, temporary, metadata)
    except OSError as error:
        raise WeightsError(f"{path}: cannot be written: {error.strerror or error}") from None
    except SafetensorError as error:
        raise WeightsError(f"{path}: cannot be written: {error}") from None
    if record is not None and metadata and to != "safetensors":
        get_logger().warning("%s: %s", path, _not_kept(record))
    return bool(metadata) and to == "safetensors"


def _not_kept(record: WeightsRecord) -> str:
    """Return what a format without a place for it does not keep, and what to do about it."""
    lost, advice = [], []
    if record.image_size is not None:
        height, width = record.image_size
        lost.append(f"the image size, {height}x{width}")
        advice.append(f"give --weights-image-size {height}x{width} where the file is used")
    if record.class_names is not None:
        lost.append(f"the names of the {len(record.class_names)} classes")
        advice.append("give a file of names there (Infer.PostProcess.class_id_map_file)")
    return f"this format cannot keep {' and '.join(lost)}; convert to .safetensors, or {', and '.join(advice)}"


def _write_safetensors(arrays: Mapping[str, np.ndarray], path: Path, metadata: Mapping[str, str]) -> None:
    save_file(dict(arrays), str(path), dict(metadata) or None)


def _write_pdparams(arrays: Mapping[str, np.ndarray], path: Path, _: Mapping[str, str]) -> None:
    paddle.save({name: paddle.to_tensor(array) for name, array in arrays.items()}, str(path), protocol=4)


def _write_torch(arrays: Mapping[str, np.ndarray], path: Path, _: Mapping[str, str]) -> None:
    native = {name: array.astype(array.dtype.newbyteorder("<"), copy=False) for name, array in arrays.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _add(archive, "archive/data.pkl", _description(native))
        _add(archive, "archive/byteorder", b"little")
        for index, array in enumerate(native.values()):
            # A view as bytes: the numbers themselves are not copied.
            _add(archive, f"archive/data/{index}", array.reshape(-1).view(np.uint8).data)
        _add(archive, "archive/version", b"3\n")


def _add(archive: zipfile.ZipFile, name: str, content: Union[bytes, memoryview]) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980: the same weights give the same file
    assert archive.fp is not None
    start = archive.fp.tell() + _LOCAL_HEADER + len(name) + 4
    padding = -start % _ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + b"Z" * padding
    archive.writestr(entry, content)


def _description(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return the pickle that makes PyTorch rebuild the tensors from storages 0, 1, ..."""
    parts = [_PICKLE_START, _DICT, b"("]
    for index, (name, array) in enumerate(arrays.items()):
        storage = _STORAGES.get(array.dtype.str[1:])
        if storage is None:
            raise WeightsError(f"{name}: PyTorch's files cannot hold numbers of type {array.dtype}")
        strides = [step // array.itemsize for step in array.strides]
        reference = b"(" + _text("storage") + f"ctorch\n{storage}Storage\n".encode() + _text(str(index)) + _text("cpu")
        reference += _number(array.size) + b"tQ"
        shape = b"(" + b"".join(map(_number, array.shape)) + b"t(" + b"".join(map(_number, strides)) + b"t"
        parts.append(_text(name) + _REBUILD + b"(" + reference + _number(0) + shape + _NO_HOOKS + _DICT + b"tR")
    return b"".join([*parts, b"u."])


def _text(text: str) -> bytes:
    content = text.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _number(value: int) -> bytes:
    if value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)


WRITERS: Dict[str, Callable[[Mapping[str, np.ndarray], Path, Mapping[str, str]], None]] = {
    "torch": _write_torch,
    "safetensors": _write_safetensors,
    "pdparams": _write_pdparams,
}
