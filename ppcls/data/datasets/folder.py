"""Images sorted into one folder a class."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, List

import numpy as np

from ppcls.data.datasets.base import DATASETS, FileDataset, PathTable, existing_folder
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import DataError


@DATASETS.register
class ImageFolder(FileDataset):
    """``image_root/<class name>/**/<image>``: classes are the folders, in the order of their names.

    Hidden files and folders are left out, links are followed.

    Args:
        image_root: the folder that holds the class folders.
        on_error: what training does about an unreadable image: "error", or "skip" to take the next good one.

    Raises:
        DataError: there is no such folder, no class folder, or one without images.
    """

    def __init__(self, image_root: str, on_error: str = "error") -> None:
        root = existing_folder("image_root", image_root)
        names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not names:
            raise DataError(f"image_root: {root}: contains no folders; one a class is needed")
        paths: List[str] = []
        counts = []
        for name in names:
            found = sorted(_images(root, root / name))
            paths += found
            counts.append(len(found))
        empty = [name for name, count in zip(names, counts) if not count]
        if empty:
            raise DataError(
                f"image_root: {root}: no images ({' '.join(IMAGE_SUFFIXES)}) in the class folder "
                f"{', '.join(empty[:10])}; remove it, or fill it"
            )
        labels = np.repeat(np.arange(len(names), dtype=np.int64), counts)
        super().__init__(PathTable(root, paths), labels, names, on_error)


def _images(root: Path, folder: Path) -> Iterator[str]:
    """Yield the paths, relative to ``root``, of all images below ``folder``."""
    seen = set()  # folders on the way, against links that lead back up
    for path, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield os.path.relpath(str(Path(path) / name), root)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
