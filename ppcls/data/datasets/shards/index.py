"""The text file beside a shard that says where its samples are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import List

import numpy as np

from ppcls.data.datasets.base import read_regular
from ppcls.data.datasets.shards.scanning import BLOCK, Sample
from ppcls.errors import DataError
from ppcls.utils import atomic

SUFFIX = ".idx.tsv"
_FORMAT = "#ppcls shard index 1"
_NUMBER = r"[0-9]{1,18}"  # more digits are not believed
_LINE = re.compile(rf"[^\t]+(?:\t{_NUMBER}){{4}}")
_HEADER = re.compile(rf"{re.escape(_FORMAT)}\t({_NUMBER})\t({_NUMBER})")


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
    with (
        atomic.replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file,
    ):
        file.write(text)


@dataclass(frozen=True)
class Index:
    """Where a shard has its samples; the columns of many ``Sample``.

    Attributes:
        names: of the images' members.
        numbers: offset, size, label and the label's offset, [N, 4] int64.
    """

    names: List[str]
    numbers: np.ndarray


def of_samples(samples: List[Sample]) -> Index:
    """Return the index of a shard that was searched."""
    return Index([sample.name for sample in samples], np.array([sample[1:] for sample in samples], np.int64))


def read(shard: Path) -> Index:
    """Return what is written in a shard's index.

    Raises:
        DataError: there is no such index, it is malformed, or not of this shard.
    """
    path = index_path(shard)
    try:
        size = shard.stat().st_size
        text = read_regular(path).decode("utf-8", "surrogateescape")
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be read: {error.strerror}") from None
    lines = text.split("\n")
    header = _HEADER.fullmatch(lines[0])
    if header is None:
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
    return _parse(path, lines[1:-1], size)


def _parse(path: Path, lines: List[str], size: int) -> Index:
    for number, line in enumerate(lines):
        if not _LINE.fullmatch(line):
            raise _bad(path, f"line {number + 2} is malformed: {line[:200]!r}")
    columns = len(Sample._fields)
    fields = "\t".join(lines).split("\t")
    # By NumPy, column by column: large data sets have millions of lines.
    numbers = np.stack([np.array(fields[column::columns]).astype(np.int64) for column in range(1, columns)], axis=1)
    offset, length, _, label_offset = numbers.T
    outside = (np.minimum(offset, label_offset) < BLOCK) | (offset + length > size) | (label_offset >= size)
    if outside.any():
        number = int(np.argmax(outside))
        raise _bad(path, f"line {number + 2} leads out of the shard: {lines[number][:200]!r}")
    return Index(fields[::columns], numbers)


def _bad(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; delete the index to make it anew")
