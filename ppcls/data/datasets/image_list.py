"""Images listed in a text file: ImageNet and most data sets prepared for PaddleClas."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from ppcls.data.datasets.base import DATASETS, FileDataset, PathTable, existing_folder, join_mistakes
from ppcls.data.datasets.names import find_class_names
from ppcls.errors import ConfigError, DataError
from ppcls.utils.paths import user_path
from ppcls.utils.text import read_lines

_CHECKED = 100  # looking for all of ImageNet's files would take minutes on a network drive
_MAX_LABEL = 2**31


@DATASETS.register
class ImageNetDataset(FileDataset):
    """Lines ``path label``: paths relative to ``image_root``, labels counted from 0.

    Class names come from a ``labels.txt`` beside the list or in ``image_root``.

    Args:
        image_root: folder of the images.
        cls_label_path: the list.
        delimiter: between path and label; any white space unless given. The line is split at the last one, so paths
            may contain it.
        relabel: replace the labels that occur, in their order, by 0, 1, 2, ... Class names are not known then.
        on_error: what training does about an unreadable image: "error", or "skip" to take the next good one.

    Raises:
        ConfigError: a value makes no sense.
        DataError: list or images are missing, or lines are malformed.
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
        root = existing_folder("image_root", image_root)
        self._list = user_path(cls_label_path)
        if not self._list.is_file():
            raise DataError(f"cls_label_path: {self._list}: no such file (looked for from {Path.cwd()})")
        paths, labels, lines = _parse(self._list, delimiter)
        self._lines = np.array(lines, dtype=np.int32)
        array = np.array(labels, dtype=np.int64)
        if relabel:
            array = np.unique(array, return_inverse=True)[1].reshape(-1).astype(np.int64)
        names = None if relabel else find_class_names([self._list.parent, root])
        super().__init__(PathTable(root, paths), array, names, on_error)
        if on_error == "error":
            self._check_files()

    def _check_files(self) -> None:
        checked = min(_CHECKED, len(self))
        missing = [i for i in range(checked) if not self._paths[i].is_file()]
        if missing:
            title = f"{len(missing)} of the first {checked} images of {self._list} are missing:"
            raise DataError(join_mistakes(title, [f"{self.where(i)}: {self._paths[i]}" for i in missing]))

    def where(self, index: int) -> str:
        """Return the list's path and the sample's line in it."""
        return f"{self._list}:{self._lines[index]}"


def _parse(path: Path, delimiter: Optional[str]) -> Tuple[List[str], List[int], List[int]]:
    """Return image paths, labels and line numbers of a list file.

    Raises:
        DataError: the list is empty, or lines are malformed; the message shows them.
    """
    paths, labels, lines, mistakes = [], [], [], []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        parts = line.strip().rsplit(delimiter, 1)
        image, label = parts[0].strip(), parts[-1].strip()
        if len(parts) != 2 or not image:
            between = "white space" if delimiter is None else repr(delimiter)
            mistakes.append(f"{path}:{number}: not a path and a label with {between} between: {line[:200]!r}")
        elif not (label.isascii() and label.isdigit() and int(label) < _MAX_LABEL):
            mistakes.append(f"{path}:{number}: label {label[:40]!r} is not a whole number from 0 up: {line[:200]!r}")
        else:
            paths.append(image)
            labels.append(int(label))
            lines.append(number)
    if mistakes:
        count = len(mistakes)
        raise DataError(join_mistakes(f"{path}: {count} malformed line{'s' * (count > 1)}:", mistakes))
    if not paths:
        raise DataError(f"{path}: lists no images")
    return paths, labels, lines
