"""Read the metadata of an ONNX file without any ONNX library.

The format is that of protocol buffers (https://protobuf.dev/programming-guides/encoding/), the fields are those of
``ModelProto`` (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Dict, Iterator, Tuple, Union

from ppcls.errors import DataError

DESCRIPTION = "ppcls"  # the metadata entry with the content of inference.yml, as JSON
DIGEST = "ppcls_sha256"  # the metadata entry with the digest of the file in which this digest is BLANK
BLANK = "0" * 64
_GRAPH, _METADATA = 7, 14
_KEY, _VALUE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def read_metadata(path: Path) -> Dict[str, str]:
    """Return the metadata of an ONNX file; the digest of one that an export wrote is checked.

    Raises:
        DataError: it cannot be read, is no ONNX file, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        metadata = _metadata(data)
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: not an ONNX model, or one that is cut off ({error})") from None
    recorded = metadata.get(DIGEST)
    if recorded is not None and recorded != blanked_digest(data, recorded):
        raise DataError(f"{path}: damaged, or changed since it was exported; export the model again")
    return metadata


def blanked_digest(data: bytes, recorded: str) -> str:
    """Return the digest of a file's content with the ``recorded`` digest replaced by ``BLANK``."""
    start = data.rfind(recorded.encode())
    digest = hashlib.sha256()
    for part in (memoryview(data)[:start], BLANK.encode(), memoryview(data)[start + len(recorded) :]):
        digest.update(part)
    return digest.hexdigest()


def _metadata(data: bytes) -> Dict[str, str]:
    metadata, has_graph = {}, False
    for number, value in _fields(memoryview(data)):
        has_graph = has_graph or number == _GRAPH
        if number == _METADATA and isinstance(value, memoryview):
            entry = {key: bytes(text).decode() for key, text in _fields(value) if isinstance(text, memoryview)}
            metadata[entry.get(_KEY, "")] = entry.get(_VALUE, "")
    if not has_graph:
        raise ValueError("it has no graph")
    return metadata


def _fields(data: memoryview) -> Iterator[Tuple[int, Union[int, memoryview]]]:
    """Yield the number and value of each field of a message; embedded messages and strings as they are stored.

    Raises:
        ValueError, IndexError: this is no message, or not all of it.
    """
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if kind not in (_FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"unknown field at byte {position}")
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if size is None:
            size, position = _varint(data, position)
        if position + size > len(data):
            raise ValueError(f"{position + size - len(data)} bytes are missing")
        yield tag >> 3, data[position : position + size]
        position += size


def _varint(data: memoryview, position: int) -> Tuple[int, int]:
    """Return a number stored in groups of seven bits, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError(f"malformed number at byte {position}")
