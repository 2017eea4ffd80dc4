"""What every data set offers, and what they share."""

from __future__ import annotations

import abc
import errno
import hashlib
import os
import stat
from pathlib import Path
from typing import Iterable, Iterator, List, Optional, Sequence, Union

import numpy as np

from ppcls.errors import ConfigError, DataError
from ppcls.registry import Registry
from ppcls.utils.paths import user_path

DATASETS = Registry(
    "data set",
    offers=("train",),
)
_SHOWN = 10  # mistakes that one message lists


class Dataset(abc.ABC):
    """Labelled images, by index.

    Attributes:
        labels: class ids, [N] int64.
        class_names: by class id, where known.
        on_error: what training does about an unreadable image: "error", or "skip" to take the next good one.
        boundaries: number of each shard's first sample, then how many samples there are; None where samples are not in
            shards.
    """

    boundaries: Optional[np.ndarray] = None

    def __init__(self, labels: np.ndarray, class_names: Optional[List[str]], on_error: str) -> None:
        if on_error not in ("error", "skip"):
            raise ConfigError(f"on_error: must be 'error' or 'skip', not {on_error!r}")
        self.labels = labels
        self.class_names = class_names
        self.on_error = on_error

    def __len__(self) -> int:
        return len(self.labels)

    def label(self, index: int) -> int:
        """Return the class id of a sample."""
        return int(self.labels[index])

    @abc.abstractmethod
    def read(self, index: int) -> Union[bytes, np.ndarray]:
        """Return a sample's encoded file, or its pixels [H, W, 3] uint8 RGB.

        Raises:
            DataError: it cannot be read.
        """

    def read_many(self, indices: np.ndarray) -> Optional[np.ndarray]:
        """Return the pixels of samples at once, [N, H, W, 3] uint8 RGB; None where the data set has no such way."""
        return None

    @abc.abstractmethod
    def describe(self, index: int) -> str:
        """Return where a sample is, for messages."""

    def where(self, index: int) -> str:
        """Return where a sample's label is written, for messages."""
        return self.describe(index)

    def digest(self) -> str:
        """Return a digest of which samples these are, in their order: labels, shards and names, not what files hold."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(part)
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        """Yield what tells these samples from others; not the folder they are in, which may be moved."""
        yield self.labels.tobytes()
        if self.boundaries is not None:
            yield self.boundaries.tobytes()


class TextTable:
    """Many strings in two arrays.

    A list of strings would be copied into every worker process, string by string: counting references writes to them.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._ends = np.cumsum([len(text) for text in encoded], dtype=np.int64)
        self._bytes = b"".join(encoded)

    @classmethod
    def joined(cls, tables: Sequence[TextTable]) -> TextTable:
        """Return one table of the strings of several, in their order."""
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

    def parts(self) -> Iterator[bytes]:
        """Yield the table's content, the same for the same strings."""
        yield self._ends.tobytes()
        yield self._bytes


class PathTable:
    """Many paths below one folder.

    Args:
        root: the folder.
        paths: relative to it, or absolute.
    """

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._root = root
        self._names = TextTable(paths)

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Path:
        return self._root / self._names[index]

    def parts(self) -> Iterator[bytes]:
        """Yield the paths without the folder."""
        return self._names.parts()

    def read(self, index: int) -> bytes:
        """Return a file's content.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return read_regular(self[index])
        except FileNotFoundError:
            raise DataError("no such file") from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}") from None


class FileDataset(Dataset):
    """Samples that are a file each.

    Args:
        paths: of the files, by sample.
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
        yield from self._paths.parts()


def read_regular(path: Path) -> bytes:
    """Return a file's content; never wait, as a pipe would have it, for somebody who writes.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    with open(path, "rb", opener=open_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read()


def open_at_once(path: Union[str, Path], flags: int) -> int:
    """Open a file as ``os.open`` does, and a pipe without waiting for its other end."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def join_mistakes(title: str, mistakes: Sequence[str]) -> str:
    """Return one message for many mistakes: the first ones, and how many more there are."""
    shown = list(mistakes[:_SHOWN])
    if len(mistakes) > _SHOWN:
        shown.append(f"... and {len(mistakes) - _SHOWN} more")
    return "\n  ".join([title, *shown])


def existing_folder(argument: str, path: Union[str, Path]) -> Path:
    """Return ``path`` of a recipe's ``argument``.

    Raises:
        DataError: there is no such folder.
    """
    folder = user_path(path)
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{argument}: {folder}: {what} (looked for from {Path.cwd()})")
    return folder


def check_labels(dataset: Dataset, class_num: int) -> None:
    """Check that the model has a score for every label.

    Raises:
        DataError: it has not; the message lists the first samples concerned.
    """
    outside = np.flatnonzero((dataset.labels < 0) | (dataset.labels >= class_num))
    if not len(outside):
        return
    mistakes = [f"{dataset.where(int(index))}: label {dataset.label(int(index))}" for index in outside[:_SHOWN]]
    mistakes += [""] * (len(outside) - len(mistakes))
    raise DataError(
        join_mistakes(
            f"label {dataset.label(int(outside[0]))} is outside 0..{class_num - 1} (Arch.class_num is {class_num}); "
            f"{len(outside)} of {len(dataset)} samples have such a label. Set Arch.class_num to the number of classes, "
            f"or, where labels do not count from 0, the data set's relabel to true:",
            mistakes,
        )
    )
