"""A data set of images in tar shards."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Iterator, List, Tuple

import numpy as np
from tqdm import tqdm

from ppcls.data.datasets.base import DATASETS, Dataset, format_problems, require_folder
from ppcls.data.datasets.names import find_class_names
from ppcls.data.datasets.paths import PathTable, StringTable
from ppcls.data.datasets.shards import index as shard_index
from ppcls.data.datasets.shards.reading import ShardFiles, name_matches
from ppcls.data.datasets.shards.scanning import LABEL_SUFFIX, LONGEST_LABEL, parse_label, sample_key, scan_shard
from ppcls.errors import ConfigError, DataError
from ppcls.utils.logging import warn_once

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@DATASETS.register
class ShardDataset(Dataset):
    """Images in tar shards with the layout of WebDataset.

    A sample consists of ``KEY.jpg`` (or another image format) and ``KEY.cls``, its class id. Other members are ignored.
    The positions of the samples are read from an index, ``NAME.idx.tsv`` next to ``NAME.tar``, which is created if it
    is missing. Class names are read from a ``labels.txt`` in ``image_root``.

    Args:
        image_root: folder of the shards.
        shards: file names: a pattern such as "train-*.tar", or a range such as "train-{000000..000145}.tar".
        on_error: how training handles an unreadable image: "error", or "skip" to take the next readable one.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there are no such shards, or a shard or its index is damaged.
    """

    def __init__(self, image_root: str, shards: str = "*.tar", on_error: str = "error") -> None:
        root = require_folder("image_root", image_root)
        paths = find_shards(root, shards)
        names, numbers, counts, unwritten = [], [], [0], []
        missing = sum(not shard_index.index_path(path).exists() for path in paths)
        bar = tqdm(paths, desc="indexing shards", unit="shard", leave=False, disable=None if missing else True)
        for path in bar:
            index, problem = load_index(path)
            if problem:
                unwritten.append(problem)
            names.append(StringTable(index.names))
            numbers.append(index.numbers)
            counts.append(len(index.names))
        if unwritten:
            warn_once(
                "%s: %s searched anew each time",
                unwritten[0],
                "the shard is" if len(unwritten) == 1 else f"this and {len(unwritten) - 1} more shards are",
            )
        self._offsets, self._sizes, labels, self._label_offsets = np.ascontiguousarray(np.concatenate(numbers).T)
        self._names = StringTable.concatenate(names)
        self.boundaries = np.cumsum(counts)
        self._paths = PathTable(root, [str(path.relative_to(root)) for path in paths])
        self._files = ShardFiles(self._paths)
        super().__init__(labels, find_class_names([root]), on_error)
        self._stored_labels = self.labels  # others may number the classes otherwise

    def read(self, index: int) -> bytes:
        """Return a sample's encoded file. The shard's headers are compared with the index.

        Raises:
            DataError: it cannot be read, or differs from the index.
        """
        shard, name = self._shard_of(index), self._names[index]
        size = int(self._sizes[index])
        header, data = self._files.read_member(shard, int(self._offsets[index]), size)
        if header.size != size or not header.isreg() or not name_matches(header.name, name):
            raise self._index_mismatch(
                shard, f"{header.name} with {header.size} bytes is there, not {name} with {size}"
            )
        self._check_label(index, shard, sample_key(name) + LABEL_SUFFIX)
        return data

    def _check_label(self, index: int, shard: int, name: str) -> None:
        # Data are padded to whole blocks, so at least this many bytes can be read.
        header, data = self._files.read_member(shard, int(self._label_offsets[index]), LONGEST_LABEL + 1)
        if not header.isreg() or not name_matches(header.name.lower(), name.lower()):
            raise self._index_mismatch(shard, f"{header.name} is there, not the label {name}")
        try:
            label = parse_label(data[: header.size])
        except DataError as error:
            raise self._index_mismatch(shard, str(error)) from None
        if label != self._stored_labels[index]:
            raise self._index_mismatch(shard, f"the label is {label}, not {self._stored_labels[index]}")

    def _index_mismatch(self, shard: int, problem: str) -> DataError:
        path = shard_index.index_path(self._files.path(shard))
        return DataError(
            f"the shard is not what its index says: {problem}; if the shard is right, delete {path} to rebuild it"
        )

    def describe(self, index: int) -> str:
        """Return the sample's shard and member, such as "shards/train-000003.tar:000123_cat.jpg"."""
        return f"{self._files.path(self._shard_of(index))}:{self._names[index]}"

    def paths(self) -> List[Path]:
        """Return the paths of the shards, in order."""
        return [self._paths[shard] for shard in range(len(self._paths))]

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield from self._paths.content()
        yield from self._names.content()

    def _shard_of(self, index: int) -> int:
        assert self.boundaries is not None
        return int(np.searchsorted(self.boundaries, index, side="right")) - 1


def find_shards(root: Path, pattern: str) -> List[Path]:
    """Return the files that match ``pattern``, sorted, or in the order of its range.

    Raises:
        ConfigError: the pattern leads out of the folder.
        DataError: no file matches, or some of a range are missing.
    """
    parts = Path(pattern).parts
    if not parts or Path(pattern).is_absolute() or ".." in parts or "\0" in pattern:
        raise ConfigError(f"shards: must be a pattern of files in image_root, not {pattern!r}")
    if any("**" in part and part != "**" for part in parts):
        raise ConfigError(f"shards: '**' stands for folders, as in '**/*.tar', and not within a name: {pattern!r}")
    match = _RANGE.search(pattern)
    if match:
        first, last = int(match[1]), int(match[2])
        numbers = (f"{number:0{len(match[1])}d}" for number in range(first, last + 1))
        paths = [root / (pattern[: match.start()] + number + pattern[match.end() :]) for number in numbers]
        absent = [str(path) for path in paths if not path.is_file()]
        if absent:
            raise DataError(format_problems(f"shards: {len(absent)} of the {len(paths)} files are missing:", absent))
    else:
        paths = sorted(path for path in root.glob(pattern) if path.is_file() and not path.name.startswith("."))
    if not paths:
        packed = sorted(path.name for path in root.glob("*.tar.*"))
        hint = f"; {packed[0]} is there, and compressed shards must be unpacked first" if packed else ""
        raise DataError(f"shards: no {pattern!r} in {root}{hint}")
    return paths


def load_index(path: Path) -> Tuple[shard_index.Index, str]:
    """Return a shard's index, which is created if it is missing.

    Returns:
        The index, and why a new one could not be saved ("" if it was).

    Raises:
        DataError: the shard or its index is damaged.
    """
    index_file = shard_index.index_path(path)
    if index_file.exists():
        return shard_index.read_index(path), ""
    samples = scan_shard(path)
    problem = ""
    try:
        shard_index.write_text(index_file, shard_index.format_index(samples, path.stat().st_size))
    except OSError as error:
        problem = f"{index_file} cannot be written ({error.strerror})"
    return shard_index.build_index(samples), problem
