"""The base classes of data sets and their helpers."""

from __future__ import annotations

import abc
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.errors import ConfigError, DataError
from ppcls.registry import Registry
from ppcls.utils.paths import user_path

DATASETS = Registry("data set", injectable=("train",))
_MAX_LISTED = 10  # problems that one message lists


class Dataset(abc.ABC):
    """Labelled images, by index.

    Attributes:
        labels: class ids, [N] int64; for several classes per image 0 or 1 for each class, [N, K] float32.
        label_ratio: share of images that have each class, [K] float32; None if it is not known, or not to be used.
        class_names: by class id; None if not known.
        on_error: how training handles an unreadable image: "error" raises it, "skip" takes the next readable one.
        boundaries: index of each shard's first sample, then the number of samples; None for data that are not in
            shards.
    """

    boundaries: Optional[np.ndarray] = None
    label_ratio: Optional[np.ndarray] = None

    def __init__(self, labels: np.ndarray, class_names: Optional[List[str]], on_error: str) -> None:
        if on_error not in ("error", "skip"):
            raise ConfigError(f"on_error: must be 'error' or 'skip', not {on_error!r}")
        self.labels = labels
        self.class_names = class_names
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_multilabel(self) -> bool:
        """Whether an image has any number of classes, instead of one."""
        return self.labels.ndim == 2

    def label(self, index: int) -> int:
        """Return the class id of a sample that has one class."""
        return int(self.labels[index])

    def classes(self, index: int) -> Tuple[int, ...]:
        """Return the class ids of a sample, in ascending order."""
        return tuple(np.flatnonzero(self.labels[index]).tolist()) if self.is_multilabel else (self.label(index),)

    @abc.abstractmethod
    def read(self, index: int) -> Union[bytes, np.ndarray]:
        """Return a sample's encoded file, or its pixels [H, W, C] uint8: grayscale, RGB or RGBA.

        Raises:
            DataError: it cannot be read.
        """

    def read_many(self, indices: np.ndarray) -> Optional[np.ndarray]:
        """Return the pixels of several samples, [N, H, W, C] uint8; None if the data set does not support it."""
        return None

    @abc.abstractmethod
    def describe(self, index: int) -> str:
        """Return the location of a sample, for messages."""

    def where(self, index: int) -> str:
        """Return the location of a sample's label, for messages."""
        return self.describe(index)

    def digest(self) -> str:
        """Return a digest of the samples in their order. It covers labels, shards and names, but not file contents."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(part)
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        """Yield the bytes that identify the samples. The folder is left out, since it may be moved."""
        yield self.labels.tobytes()
        if self.boundaries is not None:
            yield self.boundaries.tobytes()


class StringTable:
    """Many strings in one bytes object and one array.

    Forked workers share them. A list of strings would be copied into every worker over time, because reference counting
    writes to each string.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self._bytes = b"".join(encoded)

    @classmethod
    def concatenate(cls, tables: Sequence[StringTable]) -> StringTable:
        """Return one table with the strings of several tables, in order."""
        result = cls(())
        result._bytes = b"".join(table._bytes for table in tables)
        starts = np.cumsum([0, *(len(table._bytes) for table in tables)])
        result._ends = np.concatenate([table._ends + start for table, start in zip(tables, starts)])
        return result

    def __getitem__(self, index: int) -> str:
        start = int(self._ends[index - 1]) if index else 0
        return self._bytes[start : int(self._ends[index])].decode("utf-8", "surrogateescape")

    def __len__(self) -> int:
        return len(self._ends)

    def content(self) -> Iterator[bytes]:
        """Yield bytes that are equal for equal strings."""
        yield self._ends.tobytes()
        yield self._bytes


class PathTable:
    """Many paths in one folder.

    Args:
        root: the folder.
        paths: relative to ``root``, or absolute.
    """

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._root = root
        self._names = StringTable(paths)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Path:
        return self._root / self._names[index]

    def content(self) -> Iterator[bytes]:
        """Yield bytes that are equal for equal paths, without the folder."""
        return self._names.content()

    def read(self, index: int) -> bytes:
        """Return a file's content.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return read_regular_file(self[index])
        except FileNotFoundError:
            raise DataError("no such file") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from None


class FileDataset(Dataset):
    """A data set with one file per sample.

    Args:
        paths: path of each sample.
    """

    def __init__(self, paths: PathTable, labels: np.ndarray, class_names: Optional[List[str]], on_error: str) -> None:
        super().__init__(labels, class_names, on_error)
        self._paths = paths

    def read(self, index: int) -> bytes:
        """Return a sample's encoded file.

        Raises:
            DataError: it cannot be read.
        """
        return self._paths.read(index)

    def describe(self, index: int) -> str:
        """Return a sample's path."""
        return str(self._paths[index])

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield from self._paths.content()


def read_regular_file(path: Path) -> bytes:
    """Return the content of a regular file. Anything else, such as a named pipe, is refused instead of waited for.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    with open(path, "rb", opener=open_nonblocking) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


def open_nonblocking(path: Union[str, Path], flags: int) -> int:
    """Open a file like ``os.open``, but do not wait for the other end of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def format_problems(title: str, problems: Sequence[str]) -> str:
    """Return one message that lists the first problems and the number of the others."""
    listed = list(problems[:_MAX_LISTED])
    if len(problems) > _MAX_LISTED:
        listed.append(f"... and {len(problems) - _MAX_LISTED} more")
    return "\n  ".join([title, *listed])


def require_folder(argument: str, path: Union[str, Path]) -> Path:
    """Return the folder that a recipe's ``argument`` names.

    Raises:
        DataError: there is no such folder.
    """
    folder = user_path(path)
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{argument}: {folder}: {problem} (looked for from {Path.cwd()})")
    return folder


def check_labels(dataset: Dataset, class_num: int) -> None:
    """Check that all labels are below the number of classes.

    Raises:
        DataError: some are not; the message lists the first of these samples.
    """
    if dataset.is_multilabel:
        if dataset.labels.shape[1] != class_num:
            raise DataError(
                f"{dataset.where(0)}: labels of {dataset.labels.shape[1]} classes, and Arch.class_num is {class_num}; "
                f"set Arch.class_num to the number of classes"
            )
        return
    outside = np.flatnonzero((dataset.labels < 0) | (dataset.labels >= class_num))
    if not len(outside):
        return
    problems = [f"{dataset.where(int(index))}: label {dataset.label(int(index))}" for index in outside[:_MAX_LISTED]]
    problems += [""] * (len(outside) - len(problems))  # only counted
    raise DataError(
        format_problems(
            f"label {dataset.label(int(outside[0]))} is outside 0..{class_num - 1} (Arch.class_num is {class_num}); "
            f"{len(outside)} of {len(dataset)} samples have such a label. Set Arch.class_num to the number of classes, "
            f"or, where labels do not count from 0, the data set's relabel to true:",
            problems,
        )
    )
