"""Find the samples in a tar file by reading all of its headers."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path
from typing import BinaryIO, Dict, List, NamedTuple

from ppcls.data.datasets.base import format_problems
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import DataError

BLOCK = tarfile.BLOCKSIZE  # bytes of a header, which is followed by the data
LABEL_SUFFIX = ".cls"
LONGEST_LABEL = 64  # bytes
_MAX_LABEL = 2**31
_COMPRESSED = {
    b"\x1f\x8b": ("gzip", "gunzip"),
    b"BZh": ("bzip2", "bunzip2"),
    b"\xfd7zXZ\0": ("xz", "unxz"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd"),
}
# The key is everything before the first dot in the file name. Names that begin with a dot belong to no sample.
_NAME = re.compile(r"((?:.*/)?[^./][^./]*)(\.[^/]+)")


class Sample(NamedTuple):
    """A sample in a tar file.

    Attributes:
        name: name of the image member.
        offset: offset of the image data, in bytes.
        size: size of the image, in bytes.
        label: class id.
        label_offset: offset of the label's data, in bytes.
    """

    name: str
    offset: int
    size: int
    label: int
    label_offset: int


def sample_key(name: str) -> str:
    """Return the key of the sample that a member belongs to; "" if it belongs to none."""
    match = _NAME.fullmatch(name)
    return match[1] if match else ""


def scan_shard(path: Path) -> List[Sample]:
    """Return the samples of a tar file, in the order of their images.

    Raises:
        DataError: it cannot be read, is truncated, has unsafe members, or a sample is not one image and one label.
    """
    try:
        with path.open("rb") as file:
            _require_uncompressed(path, file)
            members = _read_members(path, file)
            return _pair_samples(path, file, members)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def parse_label(data: bytes) -> int:
    """Return the class id in a label member.

    Raises:
        DataError: it is not a whole number of at least 0.
    """
    text = data[:LONGEST_LABEL].strip()
    if len(data) > LONGEST_LABEL or not text.isdigit() or int(text) >= _MAX_LABEL:
        raise DataError(f"label {text[:40].decode('utf-8', 'replace')!r} is not a whole number of at least 0")
    return int(text)


def _require_uncompressed(path: Path, file: BinaryIO) -> None:
    start = file.read(8)
    file.seek(0)
    for magic, (kind, command) in _COMPRESSED.items():
        if start.startswith(magic):
            raise DataError(
                f"{path}: compressed ({kind}), and samples are read from the middle of shards; unpack it first "
                f"({command}; images are compressed already)"
            )


def _read_members(path: Path, file: BinaryIO) -> List[tarfile.TarInfo]:
    """Return the regular files of a tar file."""
    members, problems = [], []
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            for member in archive:
                if member.size < 0:  # reading would go backwards, for ever
                    raise _damaged_error(path, f"{member.name!r} has a negative size")
                problem = _member_problem(member)
                if problem:
                    problems.append(f"{member.name!r}: {problem}")
                elif not member.isdir():
                    members.append(member)
            end = archive.offset
    except (RecursionError, MemoryError):
        raise _damaged_error(
            path, "headers that announce headers without end, or one of a size that no header has"
        ) from None
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: not a whole tar file: {error}; the shard is cut off or damaged, copy it again"
        ) from None
    if problems:
        raise DataError(format_problems(f"{path}: refused, because of members that no data set needs:", problems))
    _check_end_of_archive(path, file, end)
    return members


def _member_problem(member: tarfile.TarInfo) -> str:
    """Return why a member is refused; "" if it is not."""
    if member.name.startswith("/") or ".." in member.name.split("/"):
        return "the name leads out of the shard"
    if not (member.isreg() or member.isdir()):
        return "is a link" if member.issym() or member.islnk() else "is a device or the like"
    if member.issparse():
        return "is stored as a sparse file"
    if any(character in member.name for character in "\t\r\n\0"):
        return "the name has a tab, a line break or a zero byte"
    return ""


def _check_end_of_archive(path: Path, file: BinaryIO, end: int) -> None:
    """Check that only zeros follow the last member, because ``tarfile`` takes any invalid data for the end."""
    file.seek(end)
    if file.read(BLOCK) != bytes(BLOCK):
        raise _damaged_error(path, f"no member and no end mark at byte {end}")
    while True:
        block = file.read(1 << 20)
        if not block:
            return
        if block.strip(b"\0"):
            raise DataError(f"{path}: data after the end mark at byte {end}; shards joined with cat are not tar files")


def _damaged_error(path: Path, what: str) -> DataError:
    return DataError(f"{path}: {what}; the shard is cut off or damaged, copy it again")


def _pair_samples(path: Path, file: BinaryIO, members: List[tarfile.TarInfo]) -> List[Sample]:
    """Return the samples: pairs of an image and a label with the same key."""
    images: Dict[str, tarfile.TarInfo] = {}
    labels: Dict[str, tarfile.TarInfo] = {}
    problems = []
    for member in members:
        key = sample_key(member.name)
        if not key:
            continue
        suffix = member.name[len(key) :].lower()
        kind = "image" if suffix in IMAGE_SUFFIXES else "label" if suffix == LABEL_SUFFIX else ""
        if not kind:
            continue
        of_kind = images if kind == "image" else labels
        if key in of_kind:
            problems.append(f"{path}:{key}: two {kind}s, {of_kind[key].name} and {member.name}")
        of_kind.setdefault(key, member)
    problems += [f"{path}:{key}: an image without {LABEL_SUFFIX}" for key in images if key not in labels]
    problems += [f"{path}:{key}: a label without an image" for key in labels if key not in images]
    samples = []
    for key, image in images.items():
        if key not in labels:
            continue
        label_offset = labels[key].offset_data
        file.seek(label_offset)
        try:
            label = parse_label(file.read(min(labels[key].size, LONGEST_LABEL + 1)))
            samples.append(Sample(image.name, image.offset_data, image.size, label, label_offset))
        except DataError as error:
            problems.append(f"{path}:{key}: {error}")
    if problems:
        raise DataError(format_problems(f"{path}: {len(problems)} samples are not one image and one label:", problems))
    if not samples:
        raise DataError(f"{path}: no samples; a sample is an image and its class id, KEY.jpg and KEY{LABEL_SUFFIX}")
    return samples
