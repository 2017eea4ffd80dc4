"""Which images to predict: files, folders, patterns, addresses, lists, bytes and arrays."""

from __future__ import annotations

import glob
import io
import os
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Sequence, Union

import numpy as np

from ppcls.data.transforms.conversion import is_pillow
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import DataError
from ppcls.inference.download import is_http_url
from ppcls.inference.source import Source, Url
from ppcls.utils.paths import user_path
from ppcls.utils.text import read_lines

_TRIED = 20  # lines of a list with which folders are tried
_TAKEN = (
    "a path, a pattern, a URL, encoded bytes, a file opened in binary mode, an array [H, W, 3] uint8 in RGB, or a "
    "Pillow image"
)
# What stands for one image or a folder of them: see ``expand``. Files and Pillow images are known by what they can do.
Image = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, np.ndarray, io.IOBase, Source, Any]


def collect(images: Union[Image, Sequence[Image]]) -> List[Source]:
    """Return the sources meant by an image (see ``expand``), or by a list of them.

    Raises:
        DataError: a path does not exist, or nothing is left to predict.
    """
    if isinstance(images, Iterator) and not hasattr(images, "read"):
        raise DataError("an iterator gives its images one by one: stream() takes it; or make a list of it")
    several = images if isinstance(images, (list, tuple)) and not isinstance(images, Source) else [images]
    sources = [source for number, image in enumerate(several, 1) for source in expand(image, f"image {number}")]
    if not sources:
        raise DataError("no images to predict: the list is empty")
    return sources


def collect_lazily(images: Iterable[Image]) -> Iterator[Source]:
    """Yield the sources one by one; what means no image becomes a source whose reading raises the error.

    What a source holds is its own: the same array may be filled again, or the same Pillow image moved to its next
    frame, before it is read.
    """
    for number, image in enumerate(images, 1):
        name = f"image {number}"
        try:
            for source in expand(image, name):
                yield source.detached()
        except DataError as error:
            yield Source(os.fspath(image) if isinstance(image, (str, os.PathLike)) else name, error)


def expand(image: Image, name: str) -> Iterator[Source]:
    """Yield the sources that one value means: those below a folder, those that match a pattern, or the image itself.

    A file that is called like a pattern is that file. Of a pattern all files count, whatever their suffix, in order.

    Args:
        name: what an image without a name of its own is called in the results.

    Raises:
        DataError: there is no such file, a folder has no images, or it is something else.
    """
    if isinstance(image, Source):
        yield image
    elif isinstance(image, (str, os.PathLike)):
        yield from _named(os.fspath(image))
    elif isinstance(image, (bytes, bytearray, memoryview, np.ndarray)) or is_pillow(image):
        yield Source(name, image)
    elif callable(getattr(image, "read", None)):
        content, own = image.read(), getattr(image, "name", None)
        if not isinstance(content, bytes):
            raise DataError(f"{own or name}: the file gives {type(content).__name__}; open it in binary mode ('rb')")
        yield Source(own if isinstance(own, str) else name, content)
    else:
        raise DataError(f"an image is {_TAKEN}, not {type(image).__name__}")


def expand_one(image: Image, name: str) -> Source:
    """Return the only source that one value means, see ``expand``.

    Raises:
        DataError: as ``expand``, or it means several images.
    """
    found = list(expand(image, name))
    if len(found) != 1:
        raise DataError(f"{image!r} means {len(found)} images, and one is wanted")
    return found[0]


def _named(text: str) -> Iterator[Source]:
    if is_http_url(text):
        yield Source(text, Url(text))
        return
    if not text:
        raise DataError("an empty path; the current folder is '.'")
    path = user_path(text)
    try:
        is_folder, exists = path.is_dir(), path.exists()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if is_folder:
        yield from (Source(str(file), file) for file in list_images(path))
    elif exists:
        yield Source(str(path), path)
    elif glob.has_magic(text):
        yield from (Source(str(file), file) for file in match(str(path)))
    else:
        other = text.partition("://")
        hint = f"; of URLs only http:// and https:// are read, not {other[0]}://" if other[1] else ""
        raise DataError(f"{path}: no such image or folder{hint}")


def match(pattern: str) -> List[Path]:
    """Return the files that match a pattern of ``*``, ``?``, ``[...]`` and ``**`` (any folders), sorted by path.

    Raises:
        DataError: there are none.
    """
    found = sorted({Path(path) for path in glob.iglob(pattern, recursive=True)})  # noqa: PTH207 - Path.glob takes no absolute ones
    files = [path for path in found if not path.is_dir()]
    if not files:
        only = f"only folders match, such as {found[0]}: give these" if found else "no file matches this pattern"
        raise DataError(f"{pattern}: {only}")
    return files


def list_images(folder: Path) -> List[Path]:
    """Return all images below a folder, sorted by path.

    Raises:
        DataError: there are none.
    """
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir())
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
