"""The images to predict: files, folders, patterns, URLs, lists, bytes and arrays."""

from __future__ import annotations

import glob
import io
import os
from pathlib import Path
from typing import Any, Iterable, Iterator, List, Sequence, Union

import numpy as np

from ppcls.data.transforms import image_files
from ppcls.data.transforms.conversion import is_pillow
from ppcls.errors import DataError
from ppcls.inference.download import is_http_url
from ppcls.inference.source import Source, Url
from ppcls.utils.logging import warn_once
from ppcls.utils.paths import user_path
from ppcls.utils.text import read_lines

_PROBED_LINES = 20  # of a list, to choose the folder of its paths
_ACCEPTED = (
    "a path, a pattern, a URL, encoded bytes, a file opened in binary mode, a uint8 array (RGB [H, W, 3], "
    "RGBA [H, W, 4] or grayscale [H, W]), or a Pillow image"
)
# One image, or a folder or pattern of images: see ``expand``. Files and Pillow images are recognized by their methods.
Image = Union[str, "os.PathLike[str]", bytes, bytearray, memoryview, np.ndarray, io.IOBase, Source, Any]


def collect(images: Union[Image, Sequence[Image]]) -> List[Source]:
    """Return the sources of an image (see ``expand``), or of a list of images.

    Raises:
        DataError: a path does not exist, or there are no images.
    """
    if isinstance(images, Iterator) and not hasattr(images, "read"):
        raise DataError("an iterator gives its images one by one: give it to stream(), or make a list of it")
    several = images if isinstance(images, (list, tuple)) and not isinstance(images, Source) else [images]
    sources = [source for number, image in enumerate(several, 1) for source in expand(image, f"image {number}")]
    if not sources:
        raise DataError("no images to predict: the list is empty")
    return sources


def collect_lazily(images: Iterable[Image]) -> Iterator[Source]:
    """Yield the sources one by one; an invalid input becomes a source that raises when read.

    Sources hold copies: the caller may fill the same array again, or move the same Pillow image to its next frame.
    """
    for number, image in enumerate(images, 1):
        name = f"image {number}"
        try:
            for source in expand(image, name):
                yield source.copied()
        except DataError as error:
            yield Source(os.fspath(image) if isinstance(image, (str, os.PathLike)) else name, error)


def expand(image: Image, name: str) -> Iterator[Source]:
    """Yield the sources of one value: the image itself, those below a folder, or those that match a pattern.

    A pattern gives all files that match, whatever their suffix, in order. If a file has the pattern as its name, it
    gives that file only.

    Args:
        name: what an image without a name is called in the results.

    Raises:
        DataError: there is no such file, a folder has no images, or the value is no image.
    """
    if isinstance(image, Source):
        yield image
    elif isinstance(image, (str, os.PathLike)):
        yield from _named(os.fspath(image))
    elif isinstance(image, (bytes, bytearray, memoryview, np.ndarray)) or is_pillow(image):
        yield Source(name, image)
    elif callable(getattr(image, "read", None)):
        content, file_name = image.read(), getattr(image, "name", None)
        if not isinstance(content, bytes):
            raise DataError(
                f"{file_name or name}: the file gives {type(content).__name__}; open it in binary mode ('rb')"
            )
        yield Source(file_name if isinstance(file_name, str) else name, content)
    else:
        raise DataError(f"an image is {_ACCEPTED}, not {type(image).__name__}")


def expand_one(image: Image, name: str) -> Source:
    """Return the only source of one value, see ``expand``.

    Raises:
        DataError: as ``expand``; or there are several images.
    """
    sources = list(expand(image, name))
    if len(sources) != 1:
        raise DataError(f"{image!r} stands for {len(sources)} images; give one")
    return sources[0]


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
        scheme, separator, _ = text.partition("://")
        hint = f"; of URLs only http:// and https:// are read, not {scheme}://" if separator else ""
        raise DataError(f"{path}: no such image or folder{hint}")


def match(pattern: str) -> List[Path]:
    """Return the files that match a pattern of ``*``, ``?``, ``[...]`` and ``**`` (any folders), sorted by path.

    Raises:
        DataError: there are none.
    """
    matches = sorted({Path(path) for path in glob.iglob(pattern, recursive=True)})  # noqa: PTH207 - Path.glob takes no absolute ones
    files = [path for path in matches if not path.is_dir()]
    if not files:
        only = f"only folders match, such as {matches[0]}: give these" if matches else "no file matches this pattern"
        raise DataError(f"{pattern}: {only}")
    return files


def list_images(folder: Path) -> List[Path]:
    """Return all images below a folder, sorted by path. Hidden files are left out, other files are named in a warning.

    Raises:
        DataError: there are none.
    """
    found = image_files.find(folder)
    others = image_files.describe_others(folder, found.others) if found.others else ""
    if not found.images:
        raise DataError(f"{folder}: no images in this folder or below it{others and f' ({others})'}")
    if others:
        warn_once("%s: %s", folder, others)
    return sorted(folder / file for file in found.images)


def read_list(file: Path, roots: Sequence[Path]) -> List[Source]:
    """Return the images that a file names, one path per line.

    A label behind the path, as in training lists, is allowed and not used. The paths are relative to whichever root has
    most of the first paths.

    Raises:
        DataError: the file cannot be read or names nothing.
    """
    lines = [line.strip() for _, line in read_lines(file) if line.strip()]
    if not lines:
        raise DataError(f"{file}: lists no images")
    hits = [sum((root / _path_of(line, root)).exists() for line in lines[:_PROBED_LINES]) for root in roots]
    if not any(hits):
        tried = ", ".join(dict.fromkeys(str(root.absolute()) for root in roots))
        hint = "; paths have / here, not \\" if os.sep == "/" and "\\" in lines[0] else ""
        raise DataError(f"{file}: {lines[0]!r} and those after it are in none of {tried}; set Infer.infer_imgs{hint}")
    root = roots[hits.index(max(hits))]
    paths = [root / _path_of(line, root) for line in lines]
    return [Source(str(path), path) for path in paths]


def _path_of(line: str, root: Path) -> str:
    """Return a list's line without the label that may stand behind the path."""
    head, *label = line.rsplit(maxsplit=1)
    return head if label and label[0].isdigit() and not (root / line).exists() else line
