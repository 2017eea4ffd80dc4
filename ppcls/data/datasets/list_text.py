"""The text of a list file, from which the same images and classes are read again.

``ImageNetDataset`` reads it or, of images with several classes each, ``MultiLabelDataset``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Optional, Sequence

from ppcls.data.datasets.base import FileDataset
from ppcls.data.datasets.names import is_valid_unicode
from ppcls.errors import DataError


def format_list(
    dataset: FileDataset, indices: Sequence[int], root: Path, new_ids: Optional[Mapping[int, int]] = None
) -> str:
    """Return the text of a list file with some images of a data set.

    Args:
        root: what the paths are relative to; those of other folders are absolute.
        new_ids: the class id to write for each class id of the data set, of which an image has one; None leaves them.

    Raises:
        DataError: a path would not be read back unchanged.
    """
    lines = []
    for index in indices:
        found = Path(dataset.describe(index))
        path = str(found.relative_to(root) if root in found.parents else found.absolute())
        if path != path.strip() or "\n" in path or "\r" in path or not is_valid_unicode(path):
            raise DataError(
                f"{root}: {path!r} cannot be written to a list: it has a line break, begins or ends with a blank, or "
                f"is not valid Unicode; rename it"
            )
        lines.append(f"{path}{_label_text(dataset, index, new_ids)}\n")
    return "".join(lines)


def _label_text(dataset: FileDataset, index: int, new_ids: Optional[Mapping[int, int]]) -> str:
    """Return what stands behind a path: a blank and a class id, or a tab and 1 or 0 for each class."""
    if dataset.is_multilabel:
        return "\t" + ",".join(str(int(value)) for value in dataset.labels[index])
    label = dataset.label(index)
    return f" {label if new_ids is None else new_ids[label]}"
