"""Images in one folder per class."""

from __future__ import annotations

import hashlib
import numbers
import os
import unicodedata
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.datasets.base import DATASETS, FileDataset, UnusedFiles, require_folder
from ppcls.data.datasets.paths import PathTable
from ppcls.data.transforms import image_files
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import ConfigError, DataError
from ppcls.utils.encoding import as_text
from ppcls.utils.logging import warn_once
from ppcls.utils.text import listed

_HASH_RANGE = 2**64
# Names of folders that are splits of a data set, not classes.
TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "valid", "validation", "eval")
TEST_NAMES = ("test", "testing")
_SPLIT_NAMES = (*TRAIN_NAMES, *VAL_NAMES, *TEST_NAMES)


@DATASETS.register(injected=["train"])
class ImageFolder(FileDataset):
    """Images in ``image_root/<class name>/**/<image>``. Classes are numbered in the alphabetical order of the folders.

    Hidden files and folders are not used; links are followed. Other files that are no images are named in a warning.

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
        DataError: there is no such folder, it has no class folders, they are splits of a data set, or a class has too
            few images.
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
        names, unused = _find_classes(root)
        _require_classes(root, names)
        paths: List[str] = []
        counts = []
        for name in names:
            found = image_files.find(root / name)
            files = _within(name, found.images)
            if val_fraction is not None and files:
                files = _select_split(root / name, files, val_fraction, split_seed, train)
            paths += files
            counts.append(len(files))
            unused.others.extend(_within(name, found.others))
            unused.hidden.extend(_within(name, found.hidden))
        _require_no_empty_class(root, names, counts, unused)
        _warn_of_unused(unused)
        labels = np.repeat(np.arange(len(names), dtype=np.int64), counts)
        super().__init__(PathTable(root, paths), labels, [as_text(name) for name in names], on_error)
        self.unused = unused


def _find_classes(root: Path) -> Tuple[List[str], UnusedFiles]:
    """Return the names of the class folders, and what else is in their folder.

    Raises:
        DataError: a link leads nowhere, or the folder may not be read.
    """
    names, dangling, unused = [], [], UnusedFiles(root)
    try:
        paths = sorted(root.iterdir())
    except OSError as error:
        raise DataError(f"image_root: {root}: cannot be read: {error.strerror}") from None
    for path in paths:
        if image_files.is_hidden(path.name):
            unused.hidden.append(path.name + "/" * path.is_dir())
        elif path.is_dir():
            names.append(path.name)
        elif path.is_symlink() and not path.exists():
            dangling.append(path)
        elif image_files.is_image(path):
            unused.outside.append(path.name)
        else:
            unused.others.append(path.name)
    if names and dangling:  # it may have been a class
        raise DataError(f"{dangling[0]}: a link to {dangling[0].readlink()}, which is not there; repair or remove it")
    return names, unused


def _require_classes(root: Path, names: Sequence[str]) -> None:
    """Refuse folders that are no classes.

    Raises:
        DataError: there are none, or they are splits of a data set.
    """
    if not names:
        raise DataError(
            f"image_root: {root}: contains no folders; one per class is needed. If it is a class itself, give the "
            f"folder that it is in"
        )
    splits = split_names(names)
    if splits:
        raise DataError(
            f"image_root: {root}: its folders would be the classes, but {', '.join(splits)} are splits of a data set; "
            f"give one of them ({root / splits[0]}), or a list of the images"
        )


def split_names(names: Sequence[str]) -> List[str]:
    """Return those of a folder's folders that are splits of a data set.

    One among others is a class: the vehicles may be ``car``, ``plane`` and ``train``.
    """
    splits = [name for name in names if name.lower() in _SPLIT_NAMES]
    return splits if len(splits) > 1 or splits == list(names) else []


def _within(folder: str, files: Sequence[str]) -> List[str]:
    return [f"{folder}{os.sep}{file}" for file in files]


def _require_no_empty_class(root: Path, names: Sequence[str], counts: Sequence[int], unused: UnusedFiles) -> None:
    empty = [name for name, count in zip(names, counts) if not count]
    if empty:
        others = [file for file in unused.others if os.sep in file and file.partition(os.sep)[0] in empty]
        raise DataError(
            f"image_root: {root}: no images ({' '.join(IMAGE_SUFFIXES)}) in the class folder {', '.join(empty[:10])}; "
            f"remove it, or fill it" + (f" ({image_files.describe_others(root, others)})" if others else "")
        )


def _warn_of_unused(unused: UnusedFiles) -> None:
    if unused.others:
        warn_once("%s: %s", unused.root, image_files.describe_others(unused.root, unused.others))
    if unused.outside:
        count = len(unused.outside)
        images = (
            "1 image is in no class folder and is" if count == 1 else f"{count:,} images are in no class folder and are"
        )
        warn_once("%s: %s not used: %s", unused.root, images, listed(unused.outside))


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
