"""The index of a shard: a text file next to it with the position of each sample."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np

from ppcls.data.datasets.shards.scanning import BLOCK, Sample
from ppcls.errors import DataError
from ppcls.utils import atomic
from ppcls.utils.files import read_regular_file

SUFFIX = ".idx.tsv"
_FORMAT = "#ppcls shard index 1"
_INTEGER = r"[0-9]{1,18}"  # longer numbers are refused
_LINE = re.compile(rf"[^\t]+(?:\t{_INTEGER}){{4}}")
_HEADER = re.compile(rf"{re.escape(_FORMAT)}\t({_INTEGER})\t({_INTEGER})")


def index_path(shard: Path) -> Path:
    """Return the path of a shard's index: ``NAME.idx.tsv`` for ``NAME.tar``."""
    return shard.with_name((shard.name[: -len(".tar")] if shard.name.endswith(".tar") else shard.name) + SUFFIX)


def format_index(samples: List[Sample], size: int) -> str:
    """Return the text of an index: a header with the shard's size in bytes and number of samples, one line per sample.

    The columns are the fields of ``Sample``.
    """
    lines = ["\t".join(map(str, sample)) for sample in samples]
    return "\n".join([f"{_FORMAT}\t{size}\t{len(samples)}", *lines, ""])


def write_text(path: Path, text: str) -> None:
    """Write a file atomically; other processes may write the same file at the same time.

    Raises:
        OSError: it cannot be written.
    """
    with (
        atomic.replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file,
    ):
        file.write(text)


@dataclass(frozen=True)
class Index:
    """The samples of a shard, by column.

    Attributes:
        names: member names of the images.
        numbers: offset, size, label and the label's offset of each sample, [N, 4] int64.
    """

    names: List[str]
    numbers: np.ndarray


def build_index(samples: List[Sample]) -> Index:
    """Return the index of a shard with these samples."""
    return Index([sample.name for sample in samples], np.array([sample[1:] for sample in samples], np.int64))


def read_index(shard: Path) -> Index:
    """Read the index of a shard.

    Raises:
        DataError: it is missing or malformed, or belongs to another shard.
    """
    path = index_path(shard)
    try:
        size = shard.stat().st_size
        text = read_regular_file(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    lines = text.split("\n")
    header = _HEADER.fullmatch(lines[0])
    if header is None:
        raise _index_error(path, f"does not begin with {_FORMAT!r}, a size and a number of samples")
    if int(header[1]) != size:
        raise DataError(
            f"{shard}: {size} bytes, but {path.name} is the index of {header[1]} bytes: the shard is cut off or was "
            f"replaced; copy it again, or delete the index to rebuild it"
        )
    if lines[-1] or len(lines) - 2 != int(header[2]):
        raise _index_error(path, f"{len(lines) - 2} whole lines, but its header says {header[2]} samples")
    if len(lines) == 2:
        raise _index_error(path, "lists no samples")
    return _parse_lines(path, lines[1:-1], size)


def _parse_lines(path: Path, lines: List[str], size: int) -> Index:
    for number, line in enumerate(lines):
        if not _LINE.fullmatch(line):
            raise _index_error(path, f"line {number + 2} is malformed: {line[:200]!r}")
    columns = len(Sample._fields)
    fields = "\t".join(lines).split("\t")
    # Column by column with NumPy, since large data sets have millions of lines.
    numbers = np.stack([np.array(fields[column::columns]).astype(np.int64) for column in range(1, columns)], axis=1)
    offset, length, _, label_offset = numbers.T
    outside = (np.minimum(offset, label_offset) < BLOCK) | (offset + length > size) | (label_offset >= size)
    if outside.any():
        number = int(np.argmax(outside))
        raise _index_error(path, f"line {number + 2} leads out of the shard: {lines[number][:200]!r}")
    return Index(fields[::columns], numbers)


def _index_error(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; delete the index to rebuild it")
