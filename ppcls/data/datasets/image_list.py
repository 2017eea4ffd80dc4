"""Images listed in a text file: ImageNet and most data sets prepared for PaddleClas."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.datasets.base import DATASETS, FIRST_FILES, FileDataset, format_problems, require_folder
from ppcls.data.datasets.names import find_class_names
from ppcls.data.datasets.paths import PathTable
from ppcls.errors import ConfigError, DataError
from ppcls.utils.paths import user_path
from ppcls.utils.text import read_lines

_MAX_LABEL = 2**31
_MULTI_HOT = re.compile(r"[01](,[01])+")


class ListedImages(FileDataset):
    """Images of a list file with one line per image.

    Args:
        list_file: the list file.
        lines: line number of each sample.
        root: folder of the images.
        paths: path of each sample, relative to ``root``.

    Raises:
        DataError: images are missing, or the ``labels.txt`` beside the list or in ``root`` is malformed.
    """

    from_list = True

    def __init__(
        self,
        list_file: Path,
        lines: Sequence[int],
        root: Path,
        paths: Sequence[str],
        labels: np.ndarray,
        on_error: str,
    ) -> None:
        names = find_class_names([list_file.parent, root], labels.shape[1] if labels.ndim == 2 else None)
        super().__init__(PathTable(root, paths), labels, names, on_error)
        self._list = list_file
        self._lines = np.array(lines, dtype=np.int32)
        if on_error == "error":
            self.check_files(range(min(FIRST_FILES, len(self))), allow_empty=True)

    @property
    def source(self) -> str:
        """Return the path of the list."""
        return str(self._list)

    def where(self, index: int) -> str:
        """Return the path of the list and the sample's line number."""
        return f"{self._list}:{self._lines[index]}"


@DATASETS.register(name="MultiScaleDataset")
@DATASETS.register
class ImageNetDataset(ListedImages):
    """Images listed in a text file with one line ``path label`` per image.

    Paths are relative to ``image_root``; labels count from 0. Class names are read from a ``labels.txt`` next to the
    list or in ``image_root``.

    Args:
        image_root: folder of the images.
        cls_label_path: the list file.
        delimiter: separates path and label; any white space by default. The line is split at the last one, so paths
            may contain it.
        relabel: renumber the labels that occur in the training list to 0, 1, 2, ..., in their order. Evaluation uses
            the numbers of training. ``labels.txt`` names the labels as they are in the list.
        on_error: how training handles an unreadable image: "error", or "skip" to take the next readable one.

    Raises:
        ConfigError: an argument is invalid.
        DataError: the list or images are missing, or lines are malformed.
    """

    def __init__(
        self,
        image_root: str,
        cls_label_path: str,
        delimiter: Optional[str] = None,
        relabel: bool = False,
        on_error: str = "error",
    ) -> None:
        if delimiter == "":
            raise ConfigError("delimiter: must not be empty; leave it out for white space")
        root = require_folder("image_root", image_root)
        list_file = user_path(cls_label_path)
        if not list_file.is_file():
            raise DataError(f"cls_label_path: {list_file}: no such file (looked for from {Path.cwd()})")
        paths, labels, lines = _parse_list(list_file, delimiter)
        array = np.array(labels, dtype=np.int64)
        values: Optional[List[int]] = None
        if relabel:
            distinct, inverse = np.unique(array, return_inverse=True)
            array, values = inverse.reshape(-1).astype(np.int64), distinct.tolist()
        super().__init__(list_file, lines, root, paths, array, on_error)
        self.list_labels = values
        names = self.class_names
        if values is None or names is None:
            return
        if values[-1] < len(names):
            self.class_names = [names[value] for value in values]
        else:  # such as labels that count from 1
            self.class_names = None
            self.unused_names = (
                f"{list_file}: has the label {values[-1]}, and labels.txt (beside it or in image_root) names "
                f"0 to {len(names) - 1}; correct labels.txt, or remove it"
            )


def split_line(line: str, delimiter: Optional[str]) -> Tuple[str, str]:
    """Return the path and the label of a line, split at the last delimiter; an empty path where there is none."""
    parts = line.strip().rsplit(delimiter, 1)
    return (parts[0].strip() if len(parts) == 2 else ""), parts[-1].strip()


def _parse_list(path: Path, delimiter: Optional[str]) -> Tuple[List[str], List[int], List[int]]:
    """Return the image paths, labels and line numbers of a list file.

    Raises:
        DataError: the list is empty, or lines are malformed; the message shows them.
    """
    paths, labels, lines, problems = [], [], [], []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        image, label = split_line(line, delimiter)
        if not image:
            between = "white space" if delimiter is None else repr(delimiter)
            problems.append(f"{path}:{number}: not a path and a label with {between} between: {line[:200]!r}")
        elif not (label.isascii() and label.isdigit() and int(label) < _MAX_LABEL):
            advice = "; for labels of several classes use MultiLabelDataset" if _MULTI_HOT.fullmatch(label) else ""
            problems.append(
                f"{path}:{number}: label {label[:40]!r} is not a whole number of at least 0: {line[:200]!r}{advice}"
            )
        else:
            paths.append(image)
            labels.append(int(label))
            lines.append(number)
    if problems:
        count = len(problems)
        raise DataError(format_problems(f"{path}: {count} malformed line{'s' * (count > 1)}:", problems))
    if not paths:
        raise DataError(f"{path}: lists no images")
    return paths, labels, lines
