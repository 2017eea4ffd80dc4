"""Which files of a folder are images. This is decided here for data sets, data tools and inference alike.

A file is an image if its suffix is that of a format that can be decoded here, or if its content is: a PNG without a
suffix, or called ``photo.txt``. Hidden files, and what operating systems leave in folders, are never used. No other
file is left out without being named.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from pathlib import Path, PurePath
from typing import Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ppcls.data.transforms import decode, formats, heif
from ppcls.errors import DataError
from ppcls.utils.files import read_regular_file, why_unreadable
from ppcls.utils.opencv import cv2
from ppcls.utils.text import listed

_CONTAINERS = (".heic", ".heif", ".hif", ".avif")  # images only where a decoder is installed
_TRUSTED = tuple(suffix for suffix in formats.IMAGE_SUFFIXES if suffix not in _CONTAINERS)
_HIDDEN = {"__macosx", "@eadir", "thumbs.db", "desktop.ini", "icon\r"}
_HEAD = 512  # bytes that tell a format
_UNMISTAKABLE = ("JPEG", "PNG", "GIF", "WebP", "TIFF")
# Formats that are recognized by these beginnings, which other files may have by chance, are decoded to be sure.
_OTHERS = re.compile(rb"BM|P[1-7]\s|Pf\s|PF\s|#\?RADIANCE|#\?RGBE|\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", re.DOTALL)


class FolderFiles(NamedTuple):
    """The files below a folder, relative to it and sorted.

    Attributes:
        images: those that are images.
        others: those that are not, or that cannot be decoded here.
        hidden: files and folders that are never used; a folder ends with "/".
    """

    images: List[str]
    others: List[str]
    hidden: List[str]


def find(folder: Path) -> FolderFiles:
    """Return the files in a folder and its subfolders. Links are followed.

    Raises:
        DataError: a folder cannot be read.
    """
    found = FolderFiles([], [], [])
    seen = set()  # of folders, because links may form circles
    for path, folders, files in os.walk(folder, onerror=_raise_unreadable, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        below = os.path.relpath(path, folder)
        prefix = "" if below == os.curdir else below + os.sep
        found.hidden.extend(f"{prefix}{name}/" for name in folders if is_hidden(name))
        # Sorted, so that of a folder and a link to it every system takes the same one.
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        for name in files:
            kind = found.hidden if is_hidden(name) else found.images if is_image(Path(path, name)) else found.others
            kind.append(prefix + name)
    for names in found:
        names.sort()
    return found


def is_hidden(name: str) -> bool:
    """Return whether a file or folder of this name is never used."""
    return name.startswith(".") or name.lower() in _HIDDEN


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its suffix, or else by its content.

    A file with the suffix of an image is one even if it is damaged, so that its damage is reported.
    """
    if path.name.lower().endswith(_TRUSTED):
        return True
    try:
        head = read_regular_file(path, _HEAD)
        kind = formats.detect_format(head)
        if kind in _UNMISTAKABLE:
            return True
        if kind == "HEIF":
            heif.check(read_regular_file(path))
        elif kind == "AVIF":
            return _has_avif()
        elif kind != "JPEG XL" and _OTHERS.match(head):
            decode.decode_image(read_regular_file(path))
        else:
            return False
    except (OSError, DataError):
        return False
    return True


@functools.cache
def _has_avif() -> bool:
    if cv2.haveImageWriter(".avif"):
        return True
    try:
        from PIL import features
    except ImportError:
        return False
    return bool(features.check("avif"))


def count_by_suffix(names: Sequence[str]) -> List[Tuple[str, int]]:
    """Return (suffix, number of files), most frequent first; files without one are called "no suffix"."""
    counts = Counter(PurePath(name).suffix.lower() or "no suffix" for name in names)
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def describe_others(folder: Path, others: Sequence[str]) -> str:
    """Return what to say of files in a folder that are no images: their number, by suffix, and the first ten names."""
    unreadable = {name: reason for name in others for reason in [_why_unreadable(folder / name)] if reason}
    undecodable = [name for name in others if name not in unreadable]
    texts = []
    if undecodable:
        texts.append(_describe_undecodable(undecodable))
    if unreadable:
        reasons = [f"{name} ({reason})" for name, reason in unreadable.items()]
        them = "1 file is not used: it" if len(reasons) == 1 else f"{len(reasons):,} files are not used: they"
        texts.append(f"{them} cannot be read: {listed(reasons)}")
    return "; ".join(texts)


def _why_unreadable(path: Path) -> Optional[str]:
    try:
        read_regular_file(path, 1)
    except OSError as error:
        return why_unreadable(str(path), error)
    return None


def _describe_undecodable(others: Sequence[str]) -> str:
    counts = ", ".join(f"{count:,} {suffix}" for suffix, count in count_by_suffix(others))
    if len(others) == 1:
        them = "1 file is not used: it cannot be decoded as an image"
    else:
        them = f"{len(others):,} files are not used: they cannot be decoded as images"
    return f"{them} ({counts}): {listed(others)}{''.join(_advice(others))}"


def _advice(others: Sequence[str]) -> Iterator[str]:
    suffixes = {suffix for suffix, _ in count_by_suffix(others)}
    if suffixes & {".heic", ".heif", ".hif"} and not heif.available():
        yield f"; {heif.NEEDED}"


def _raise_unreadable(error: OSError) -> None:
    raise DataError(f"{error.filename}: cannot be read: {error.strerror}")
