"""Images with any number of classes each, listed in a text file."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import numpy as np

from ppcls.data.datasets.base import DATASETS, format_problems, require_folder
from ppcls.data.datasets.image_list import ListedImages, split_line
from ppcls.errors import ConfigError, DataError
from ppcls.utils.paths import user_path
from ppcls.utils.text import read_lines

_DIGITS = {"0": 0, "1": 1}


@DATASETS.register
class MultiLabelDataset(ListedImages):
    """Images listed in a text file with one line ``path<tab>1,0,1`` per image: for each class 1 if it is there, else 0.

    Paths are relative to ``image_root``. Class names are read from a ``labels.txt`` next to the list or in
    ``image_root``. The recipe needs ``Global.use_multilabel: true``.

    Args:
        image_root: folder of the images.
        cls_label_path: the list file.
        delimiter: separates path and labels; a tab by default. The line is split at the last one.
        label_ratio: give the losses the share of images that have each class, for ``MultiLabelLoss.weight_ratio``.
        on_error: how training handles an unreadable image: "error", or "skip" to take the next readable one.

    Raises:
        ConfigError: an argument is invalid.
        DataError: the list or images are missing, or lines are malformed.
    """

    def __init__(
        self,
        image_root: str,
        cls_label_path: str,
        delimiter: str = "\t",
        label_ratio: bool = True,
        on_error: str = "error",
    ) -> None:
        if delimiter == "":
            raise ConfigError("delimiter: must not be empty; leave it out for a tab")
        root = require_folder("image_root", image_root)
        list_file = user_path(cls_label_path)
        if not list_file.is_file():
            raise DataError(f"cls_label_path: {list_file}: no such file (looked for from {Path.cwd()})")
        paths, labels, lines = _parse_list(list_file, delimiter)
        super().__init__(list_file, lines, root, paths, labels, on_error)
        self.label_ratio = labels.mean(axis=0, dtype=np.float64).astype(np.float32) if label_ratio else None


def _parse_list(path: Path, delimiter: str) -> Tuple[List[str], np.ndarray, List[int]]:
    """Return the image paths, labels [N, K] float32 and line numbers of a list file.

    Raises:
        DataError: the list is empty, or lines are malformed; the message shows them.
    """
    paths: List[str] = []
    rows: List[List[int]] = []
    lines: List[int] = []
    problems = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        image, text = split_line(line, delimiter)
        values = [value.strip() for value in text.split(",")]
        problem = _problem(image, values, delimiter, len(rows[0]) if rows else None)
        if problem is not None:
            problems.append(f"{path}:{number}: {problem}: {line.strip()[:200]!r}")
            continue
        paths.append(image)
        rows.append([_DIGITS[value] for value in values])
        lines.append(number)
    if problems:
        count = len(problems)
        raise DataError(format_problems(f"{path}: {count} malformed line{'s' * (count > 1)}:", problems))
    if not paths:
        raise DataError(f"{path}: lists no images")
    return paths, np.array(rows, dtype=np.float32), lines


def _problem(image: str, values: List[str], delimiter: str, expected: Optional[int]) -> Optional[str]:
    """Return what is wrong with a line, None for a good one."""
    if not image:
        between = "a tab" if delimiter == "\t" else repr(delimiter)
        return f"not a path and labels such as 1,0,1 with {between} between"
    wrong = next((value for value in values if value not in _DIGITS), None)
    if wrong is not None:
        return f"label {wrong[:40]!r} is not 0 or 1"
    if expected is not None and len(values) != expected:
        return f"{len(values)} labels, and the first image has {expected}"
    return None
