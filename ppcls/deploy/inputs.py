"""Which images to predict: files, folders, lists, bytes and arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Iterator, List, NamedTuple, Sequence, Union

import numpy as np

from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import DataError
from ppcls.utils.text import read_lines

_TRIED = 20  # lines of a list with which folders are tried
Image = Union[str, Path, bytes, np.ndarray]


class Source(NamedTuple):
    """One image to predict: its name in the results, and a path, encoded bytes or an RGB array [H, W, 3] uint8."""

    name: str
    data: Union[Path, bytes, np.ndarray]

    def read(self) -> Union[bytes, np.ndarray]:
        """Return the encoded or decoded image.

        Raises:
            DataError: the file cannot be read.
        """
        if not isinstance(self.data, Path):
            return self.data
        try:
            return self.data.read_bytes()
        except OSError as error:
            raise DataError(f"{self.data}: cannot be read: {error.strerror}") from None


def collect(images: Union[Image, Sequence[Image]]) -> List[Source]:
    """Return the sources meant by paths (files or folders), bytes, arrays, or a sequence of them.

    Raises:
        DataError: a path does not exist, or nothing is left to predict.
    """
    several = isinstance(images, (list, tuple))
    sources = [source for image in (images if several else [images]) for source in _expand(image)]  # type: ignore
    if not sources:
        raise DataError("no images to predict: the list is empty")
    return [
        source if source.name else Source(f"image {number}", source.data) for number, source in enumerate(sources, 1)
    ]


def _expand(image: Image) -> Iterator[Source]:
    if isinstance(image, (bytes, np.ndarray)):
        yield Source("", image)
        return
    if not isinstance(image, (str, Path)):
        kind = type(image).__name__
        raise DataError(f"an image is a path, encoded bytes or an RGB array [H, W, 3] uint8, not {kind}")
    path = Path(image).expanduser()
    if path.is_dir():
        yield from (Source(str(file), file) for file in list_images(path))
    elif path.exists():
        yield Source(str(path), path)
    else:
        raise DataError(f"{path}: no such image or folder")


def list_images(folder: Path) -> List[Path]:
    """Return all images below a folder, sorted by path.

    Raises:
        DataError: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())
    if not found:
        raise DataError(f"{folder}: no images in this folder or below it ({' '.join(IMAGE_SUFFIXES)})")
    return found


def read_list(file: Path, roots: Sequence[Path]) -> List[Source]:
    """Return the images that a file names, one path a line.

    A label behind the path, as in training lists, is allowed and not used. The paths are relative to that
    of ``roots`` which has the most of the first ones.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    lines = [line.strip() for _, line in read_lines(file) if line.strip()]
    if not lines:
        raise DataError(f"{file}: names no images")
    found = [sum((root / _path_of(line, root)).exists() for line in lines[:_TRIED]) for root in roots]
    if not any(found):
        tried = ", ".join(dict.fromkeys(str(root.absolute()) for root in roots))
        raise DataError(f"{file}: {lines[0]!r} and those after it are in none of {tried}; set Infer.infer_imgs")
    root = roots[found.index(max(found))]
    paths = [root / _path_of(line, root) for line in lines]
    return [Source(str(path), path) for path in paths]


def _path_of(line: str, root: Path) -> str:
    """Return a list's line without the label that may stand behind the path."""
    head, *label = line.rsplit(maxsplit=1)
    return head if label and label[0].isdigit() and not (root / line).exists() else line
