"""What is in a tar file, header by header."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import BinaryIO, Dict, List, NamedTuple

from ppcls.data.datasets.base import join_mistakes
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import DataError

BLOCK = tarfile.BLOCKSIZE  # bytes of a header; the data follow it
LABEL_SUFFIX = ".cls"
LONGEST_LABEL = 64  # bytes
_MAX_LABEL = 2**31
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
# All before the first dot of the file's name; names that begin with a dot are nobody's.
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)(\.[^/]+)")


class Sample(NamedTuple):
    """Where a tar file has a sample.

    Attributes:
        name: of the image member.
        offset: of the image's data, bytes.
        size: of the image, bytes.
        label: the class id.
        label_offset: of the label's data, bytes.
    """

    name: str
    offset: int
    size: int
    label: int
    label_offset: int


def key_of(name: str) -> str:
    """Return the key of the sample that a member belongs to, "" if it belongs to none."""
    match = _NAME.fullmatch(name)
    return match[1] if match else ""


def scan(path: Path) -> List[Sample]:
    """Return the samples of a tar file, in the order of their images.

    Raises:
        DataError: it cannot be read, is cut off, or has dangerous members, or samples that are not one image and one
            label.
    """
    try:
        with path.open("rb") as file:
            _refuse_compressed(path, file)
            members = _members(path, file)
            return _samples(path, file, members)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_label(data: bytes) -> int:
    """Return the class id in a label member.

    Raises:
        DataError: it is not a whole number from 0 up.
    """
    text = data[:LONGEST_LABEL].strip()
    if len(data) > LONGEST_LABEL or not text.isdigit() or int(text) >= _MAX_LABEL:
        raise DataError(f"label {text[:40].decode('utf-8', 'replace')!r} is not a whole number from 0 up")
    return int(text)


def _refuse_compressed(path: Path, file: BinaryIO) -> None:
    start = file.read(8)
    file.seek(0)
    for magic, (kind, command) in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(
                f"{path}: compressed ({kind}), and samples are read from the middle of shards; unpack it first "
                f"({command}; images are compressed already)"
            )


def _members(path: Path, file: BinaryIO) -> List[tarfile.TarInfo]:
    """Return the regular files of a tar file."""
    members, mistakes = [], []
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                if member.size < 0:  # would lead back, for ever
                    raise _damaged(path, f"{member.name!r} has a negative size")
                problem = _danger(member)
                if problem:
                    mistakes.append(f"{member.name!r}: {problem}")
                elif not member.isdir():
                    members.append(member)
            end = archive.offset
    except (RecursionError, MemoryError):
        raise _damaged(path, "headers that announce headers without end, or one of a size that no header has") from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: not a whole tar file: {error}; the shard is cut off or damaged, copy it again"
        ) from None
    if mistakes:
        raise DataError(join_mistakes(f"{path}: refused, because of members that no data set needs:", mistakes))
    _check_end(path, file, end)
    return members


def _danger(member: tarfile.TarInfo) -> str:
    """Return why a member is refused, "" if it is not."""
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "the name leads out of the shard"
    if not (member.isreg() or member.isdir()):
        return "is a link" if member.issym() or member.islnk() else "is a device or the like"
    if member.issparse():
        return "is stored as a sparse file"
    if any(character in member.name for character in "\t\r\n\0"):
        return "the name has a tab, a line break or a zero byte"
    return ""


def _check_end(path: Path, file: BinaryIO, end: int) -> None:
    """Check that nothing but zeros follows the last member: the module tarfile takes any nonsense for the end."""
    file.seek(end)
    if file.read(BLOCK) != bytes(BLOCK):
        raise _damaged(path, f"no member and no end mark at byte {end}")
    while True:
        rest = file.read(1 << 20)
        if not rest:
            return
        if rest.strip(b"\0"):
            raise DataError(f"{path}: data after the end mark at byte {end}; shards joined with cat are not tar files")


def _damaged(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; the shard is cut off or damaged, copy it again")


def _samples(path: Path, file: BinaryIO, members: List[tarfile.TarInfo]) -> List[Sample]:
    images: Dict[str, tarfile.TarInfo] = {}
    labels: Dict[str, tarfile.TarInfo] = {}
    mistakes = []
    for member in members:
        key = key_of(member.name)
        if not key:
            continue
        suffix = member.name[len(key) :].lower()
        kind = "image" if suffix in IMAGE_SUFFIXES else "label" if suffix == LABEL_SUFFIX else ""
        if not kind:
            continue
        found = images if kind == "image" else labels
        if key in found:
            mistakes.append(f"{path}:{key}: two {kind}s, {found[key].name} and {member.name}")
        found.setdefault(key, member)
    mistakes += [f"{path}:{key}: an image without {LABEL_SUFFIX}" for key in images if key not in labels]
    mistakes += [f"{path}:{key}: a label without an image" for key in labels if key not in images]
    samples = []
    for key, image in images.items():
        if key not in labels:
            continue
        place = labels[key].offset_data
        file.seek(place)
        try:
            label = parse_label(file.read(min(labels[key].size, LONGEST_LABEL + 1)))
            samples.append(Sample(image.name, image.offset_data, image.size, label, place))
        except DataError as error:
            mistakes.append(f"{path}:{key}: {error}")
    if mistakes:
        raise DataError(join_mistakes(f"{path}: {len(mistakes)} samples are not one image and one label:", mistakes))
    if not samples:
        raise DataError(f"{path}: no samples; a sample is an image and its class id, KEY.jpg and KEY{LABEL_SUFFIX}")
    return samples
