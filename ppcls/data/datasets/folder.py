"""Images in one folder per class."""

from __future__ import annotations

import hashlib
import numbers
import os
import unicodedata
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

import numpy as np

from ppcls.data.datasets.base import DATASETS, FileDataset, PathTable, require_folder
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import ConfigError, DataError

_HASH_RANGE = 2**64


@DATASETS.register(injected=["train"])
class ImageFolder(FileDataset):
    """Images in ``image_root/<class name>/**/<image>``. Classes are numbered in the alphabetical order of the folders.

    Hidden files and folders are ignored; links are followed.

    ``val_fraction`` splits one folder between ``DataLoader.Train`` and ``DataLoader.Eval``. A hash of an image's path
    decides where it goes, so that it stays there when other images are added or removed. Near-duplicates are not
    detected; ``ppcls split-data`` does that.

    Args:
        image_root: the folder that contains the class folders.
        on_error: how training handles an unreadable image: "error", or "skip" to take the next readable one.
        val_fraction: approximate fraction of each class for evaluation (at least one image); the rest is for training.
            By default both use all images.
        split_seed: seed of the split.
        train: whether to take the training or the evaluation part.

    Raises:
        ConfigError: an argument is invalid.
        DataError: there is no such folder, it has no class folders, or a class has too few images.
    """

    def __init__(
        self,
        image_root: str,
        on_error: str = "error",
        val_fraction: Optional[float] = None,
        split_seed: int = 0,
        train: bool = True,
    ) -> None:
        check_val_fraction(val_fraction)
        if not (isinstance(split_seed, numbers.Integral) and 0 <= split_seed < _HASH_RANGE):
            raise ConfigError(f"split_seed: must be a whole number from 0 to 2**64 - 1, not {split_seed!r}")
        root = require_folder("image_root", image_root)
        names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not names:
            raise DataError(f"image_root: {root}: contains no folders; one per class is needed")
        paths: List[str] = []
        counts = []
        for name in names:
            files = sorted(_find_images(root, root / name))
            if val_fraction is not None and files:
                files = _select_split(root / name, files, val_fraction, split_seed, train)
            paths += files
            counts.append(len(files))
        empty = [name for name, count in zip(names, counts) if not count]
        if empty:
            raise DataError(
                f"image_root: {root}: no images ({' '.join(IMAGE_SUFFIXES)}) in the class folder "
                f"{', '.join(empty[:10])}; remove it, or fill it"
            )
        labels = np.repeat(np.arange(len(names), dtype=np.int64), counts)
        super().__init__(PathTable(root, paths), labels, names, on_error)


def check_val_fraction(val_fraction: Optional[float]) -> None:
    """Check ``ImageFolder``'s ``val_fraction``; None is allowed.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if val_fraction is not None and not (isinstance(val_fraction, numbers.Real) and 0 < val_fraction < 1):
        raise ConfigError(f"val_fraction: must be above 0 and below 1, not {val_fraction!r}")


def _select_split(folder: Path, paths: Sequence[str], val_fraction: float, seed: int, train: bool) -> List[str]:
    """Return a class's images for training or for evaluation, in the same order.

    Raises:
        DataError: there are not enough images for both.
    """
    if len(paths) < 2:
        raise DataError(
            f"{folder}: has one image, and val_fraction needs two per class; add some, or remove the folder"
        )
    fractions = [_hash_fraction(path, seed) for path in paths]
    if len(set(fractions)) == 1:
        raise DataError(f"{folder}: all images have one name, written with other Unicode characters; rename one")
    # Each image is assigned by its own hash, except the ones with the smallest and the largest hash, so that neither
    # part is ever empty.
    threshold = min(max(val_fraction, min(fractions)), np.nextafter(max(fractions), 0))
    return [path for path, fraction in zip(paths, fractions) if (fraction > threshold) == train]


def _hash_fraction(path: str, seed: int) -> float:
    """Return a hash of a path, from 0 to 1. It is the same on every system: composed letters, forward slashes."""
    name = unicodedata.normalize("NFC", path.replace(os.sep, "/")).encode("utf-8", "surrogateescape")
    digest = hashlib.blake2b(name, digest_size=8, salt=int(seed).to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / _HASH_RANGE


def _find_images(root: Path, folder: Path) -> Iterator[str]:
    """Yield the paths of all images in ``folder`` and its subfolders, relative to ``root``."""
    seen = set()  # of folders, because links may form circles
    for path, folders, files in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Sorted, so that of a folder and a link to it every system takes the same one.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield os.path.relpath(str(Path(path) / name), root)


def _raise_unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
