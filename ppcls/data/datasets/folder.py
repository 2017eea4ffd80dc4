"""Images sorted into one folder a class."""

from __future__ import annotations

import hashlib
import numbers
import os
import unicodedata
from pathlib import Path
from typing import Iterator, List, Optional, Sequence

import numpy as np

from ppcls.data.datasets.base import DATASETS, FileDataset, PathTable, existing_folder
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import ConfigError, DataError

_HASHES = 2**64


@DATASETS.register(provided=["train"])
class ImageFolder(FileDataset):
    """``image_root/<class name>/**/<image>``: classes are the folders, in the order of their names.

    Hidden files and folders are left out, links are followed.

    With ``val_fraction``, ``DataLoader.Train`` and ``DataLoader.Eval`` of the same folder share it out: each image goes
    where a hash of its path says, so that it stays there whatever is added or removed. Near copies are not looked for.

    Args:
        image_root: the folder that holds the class folders.
        on_error: what training does about an unreadable image: "error", or "skip" to take the next good one.
        val_fraction: about this share of each class, at least one image, is for evaluation, and the rest for training.
            All images are in either unless given.
        split_seed: of that choice.
        train: which part to take.

    Raises:
        ConfigError: a value makes no sense.
        DataError: there is no such folder, no class folder, or one without images for each part.
    """

    def __init__(
        self,
        image_root: str,
        on_error: str = "error",
        val_fraction: Optional[float] = None,
        split_seed: int = 0,
        train: bool = True,
    ) -> None:
        check_fraction(val_fraction)
        if not (isinstance(split_seed, numbers.Integral) and 0 <= split_seed < _HASHES):
            raise ConfigError(f"split_seed: must be a whole number from 0 to 2**64 - 1, not {split_seed!r}")
        root = existing_folder("image_root", image_root)
        names = sorted(p.name for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not names:
            raise DataError(f"image_root: {root}: contains no folders; one a class is needed")
        paths: List[str] = []
        counts = []
        for name in names:
            found = sorted(_images(root, root / name))
            if val_fraction is not None and found:
                found = _part(root / name, found, val_fraction, split_seed, train)
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


def check_fraction(val_fraction: Optional[float]) -> None:
    """Check a share that is for evaluation; None is all right.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if val_fraction is not None and not (isinstance(val_fraction, numbers.Real) and 0 < val_fraction < 1):
        raise ConfigError(f"val_fraction: must be above 0 and below 1, not {val_fraction!r}")


def _part(folder: Path, paths: Sequence[str], val_fraction: float, seed: int, train: bool) -> List[str]:
    """Return those of a class's images that are for training, or those for evaluation, in the same order.

    Raises:
        DataError: there are not enough for both.
    """
    if len(paths) < 2:
        raise DataError(f"{folder}: has one image, and val_fraction needs two a class; add some, or remove the folder")
    places = [_place(path, seed) for path in paths]
    if len(set(places)) == 1:
        raise DataError(f"{folder}: all images have one name, written with other Unicode characters; rename one")
    # An image's side depends on itself alone, but for the first and the last, so that neither side is ever empty.
    border = min(max(val_fraction, min(places)), np.nextafter(max(places), 0))
    return [path for path, place in zip(paths, places) if (place > border) == train]


def _place(path: str, seed: int) -> float:
    """Return where an image stands from 0 to 1, the same on every system: composed letters, forward slashes."""
    name = unicodedata.normalize("NFC", path.replace(os.sep, "/")).encode("utf-8", "surrogateescape")
    digest = hashlib.blake2b(name, digest_size=8, salt=int(seed).to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / _HASHES


def _images(root: Path, folder: Path) -> Iterator[str]:
    """Yield the paths, relative to ``root``, of all images below ``folder``."""
    seen = set()  # folders on the way, against links that lead back up
    for path, folders, files in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        # Sorted: of a folder and a link to it, the same one is taken on every system.
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith("."):
                yield os.path.relpath(str(Path(path) / name), root)


def _refuse(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be listed: {error.strerror}") from None
