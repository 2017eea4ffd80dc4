"""The text file beside a shard that says where its samples are."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import List

from ppcls.data.datasets.shards.scanning import BLOCK, Sample, key_of
from ppcls.errors import DataError

SUFFIX = ".idx.tsv"
_FORMAT = "#ppcls shard index 1"
_DIGITS = 18  # numbers of more are not believed


def index_path(shard: Path) -> Path:
    """Return where the index of ``NAME.tar`` is: ``NAME.idx.tsv``."""
    return shard.with_name((shard.name[: -len(".tar")] if shard.name.endswith(".tar") else shard.name) + SUFFIX)


def to_text(samples: List[Sample], size: int) -> str:
    """Return an index: a header with the shard's size in bytes and number of samples, then a line a sample.

    The columns are those of ``Sample``.
    """
    lines = ["\t".join(map(str, sample)) for sample in samples]
    return "\n".join([f"{_FORMAT}\t{size}\t{len(samples)}", *lines, ""])


def write_text(path: Path, text: str) -> None:
    """Put a whole file in place, whoever else does the same.

    Raises:
        OSError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def read(shard: Path) -> List[Sample]:
    """Return the samples that a shard's index lists.

    Raises:
        DataError: there is no such index, it is malformed, or not of this shard.
    """
    path = index_path(shard)
    try:
        size = shard.stat().st_size
        text = path.read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    lines = text.split("\n")
    header = lines[0].split("\t")
    if header[0] != _FORMAT or len(header) != 3 or not all(map(_is_number, header[1:])):
        raise _bad(path, f"does not begin with {_FORMAT!r}, a size and a number of samples")
    if int(header[1]) != size:
        raise DataError(
            f"{shard}: {size} bytes, but {path.name} is the index of {header[1]} bytes: the shard is cut off or was "
            f"replaced; copy it again, or delete the index to make it anew"
        )
    if lines[-1] or len(lines) - 2 != int(header[2]):
        raise _bad(path, f"{len(lines) - 2} whole lines, but its header says {header[2]} samples")
    if len(lines) == 2:
        raise _bad(path, "lists no samples")
    return [_parse(path, number, line, size) for number, line in enumerate(lines[1:-1], 2)]


def _parse(path: Path, number: int, line: str, size: int) -> Sample:
    fields = line.split("\t")
    if len(fields) != len(Sample._fields) or not key_of(fields[0]) or not all(map(_is_number, fields[1:])):
        raise _bad(path, f"line {number} is malformed: {line[:200]!r}")
    offset, length, label, label_offset = map(int, fields[1:])
    if min(offset, label_offset) < BLOCK or offset + length > size or label_offset >= size:
        raise _bad(path, f"line {number} leads out of the shard: {line[:200]!r}")
    return Sample(fields[0], offset, length, label, label_offset)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _bad(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; delete the index to make it anew")
