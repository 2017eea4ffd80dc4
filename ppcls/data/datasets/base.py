"""The base classes of data sets and their helpers."""

from __future__ import annotations

import abc
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.datasets.file_checks import EMPTY, find_problems
from ppcls.data.datasets.paths import PathTable
from ppcls.errors import ConfigError, DataError
from ppcls.registry import Registry
from ppcls.utils.paths import user_path
from ppcls.utils.text import listed

DATASETS = Registry("data set", injectable=("train",))
FIRST_FILES = 100  # of a list are looked for when it is opened
_MAX_LISTED = 10  # problems that one message lists


@dataclass(frozen=True)
class UnusedFiles:
    """Files in a data set's folder that are not used, relative to it.

    Attributes:
        root: the folder.
        others: those that are no images.
        outside: images that are in no class folder.
        hidden: hidden files and folders; a folder ends with "/".
    """

    root: Path = Path()
    others: List[str] = field(default_factory=list)
    outside: List[str] = field(default_factory=list)
    hidden: List[str] = field(default_factory=list)


class Dataset(abc.ABC):
    """Labelled images, by index.

    Attributes:
        labels: class ids, [N] int64; for several classes per image 0 or 1 for each class, [N, K] float32.
        label_ratio: share of images that have each class, [K] float32; None if it is not known, or not to be used.
        class_names: by class id; None if not known.
        on_error: how training handles an unreadable image: "error" raises it, "skip" takes the next readable one.
        list_labels: the label of each class id in the list file, where ``relabel`` renumbered them; None elsewhere.
        unused_names: why class names that were found are not used; None where they are, or where there are none.
        from_list: whether labels come from a list file.
        boundaries: index of each shard's first sample, then the number of samples; None for data that are not in
            shards.
        unused: files in its folder that are not used.
    """

    unused = UnusedFiles()
    boundaries: Optional[np.ndarray] = None
    label_ratio: Optional[np.ndarray] = None
    list_labels: Optional[List[int]] = None
    unused_names: Optional[str] = None
    from_list: ClassVar[bool] = False

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
        """Return a sample's encoded file, or its pixels [H, W, C] uint8: RGB or RGBA.

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


class FileDataset(Dataset):
    """A data set with one file per sample.

    Args:
        paths: path of each sample.
    """

    def __init__(self, paths: PathTable, labels: np.ndarray, class_names: Optional[List[str]], on_error: str) -> None:
        super().__init__(labels, class_names, on_error)
        self._paths = paths

    @property
    def root(self) -> Path:
        """Return the folder of the images; paths of a list may lead out of it."""
        return self._paths.root

    @property
    def source(self) -> str:
        """Return what the paths come from, for messages."""
        return str(self._paths.root)

    def files(self) -> Iterator[str]:
        """Return the absolute path of each sample."""
        return self._paths.absolute()

    def check_files(self, indices: Sequence[int], allow_empty: bool = False) -> None:
        """Look for the files of some samples.

        Args:
            allow_empty: whether empty files pass.

        Raises:
            DataError: some are missing, empty or no regular files; the message lists the first of them.
        """
        problems = [item for item in find_problems(self._paths, indices) if not (allow_empty and item[1] == EMPTY)]
        if not problems:
            return
        lines = [f"{self._locate(index)}: {problem}" for index, problem in problems[:_MAX_LISTED]]
        lines += [""] * (len(problems) - len(lines))  # only counted
        is_beginning = indices == range(len(indices)) and len(indices) < len(self)
        which = "the first " if is_beginning else ""
        what = "are missing or empty" if any(problem == EMPTY for _, problem in problems) else "are missing"
        raise DataError(
            format_problems(f"{len(problems):,} of {which}{len(indices):,} images of {self.source} {what}:", lines)
        )

    def _locate(self, index: int) -> str:
        where, path = self.where(index), self.describe(index)
        return path if where == path else f"{where}: {path}"

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


def format_problems(title: str, problems: Sequence[str]) -> str:
    """Return one message that lists the first problems and the number of the others."""
    return "\n  ".join([title, listed(problems, _MAX_LISTED, separator="\n  ")])


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
            f"{len(outside)} of {len(dataset)} samples have such a label. Set Arch.class_num to the number of classes. "
            f"If labels do not count from 0, set relabel: true:",
            problems,
        )
    )
