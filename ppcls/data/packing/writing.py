"""Write one shard: write it, read it back, and put it in place together with its index."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np

from ppcls.data.datasets.shards import index as shard_index
from ppcls.data.datasets.shards.scanning import LABEL_SUFFIX, scan_shard
from ppcls.data.packing.plan import ShardPlan
from ppcls.data.transforms import formats
from ppcls.data.transforms.arguments import MAX_PIXELS
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError, MachineError
from ppcls.utils import atomic
from ppcls.utils.digests import sha256
from ppcls.utils.opencv import cv2

_SUFFIX_OF_KIND = {"JPEG": ".jpg", "PNG": ".png", "GIF": ".gif", "BMP": ".bmp", "WebP": ".webp", "TIFF": ".tif"}


@dataclass(frozen=True)
class PackedShard:
    """The result of writing a shard.

    Attributes:
        samples: number of samples in it. If all its images are broken, it is 0, and there is no file.
        size: size in bytes.
        tar: digest of the shard; None if there is no file.
        index: digest of its index.
        source: digest of its source files, see ``ShardPlan.source_digest``.
        broken: the images that were left out, with the reasons.
    """

    samples: int
    size: int
    tar: Optional[str]
    index: Optional[str]
    source: str
    broken: List[str]


def reason_to_write(plan: ShardPlan, shard: int, folder: Path, packed: Optional[PackedShard]) -> str:
    """Return why a shard has to be written; "" if it exists and is intact."""
    name = plan.name(shard)
    if packed is None:
        return f"{name}: not written yet"
    if plan.source_digest(shard) != packed.source:
        return f"{name}: images were changed since it was written"
    for path, digest in ((folder / name, packed.tar), (shard_index.index_path(folder / name), packed.index)):
        if digest is None and path.exists():
            return f"{path.name}: is there, and all images for it were broken"
        if digest is not None and not path.is_file():
            return f"{path.name}: missing"
        if digest is not None and sha256(path) != digest:
            return f"{path.name}: not as it was written"
    return ""


def write_shard(plan: ShardPlan, shard: int, folder: Path, skip_broken: bool) -> PackedShard:
    """Write a shard and its index. If an image is broken and may not be left out, nothing is put in place.

    Raises:
        MachineError: it cannot be written, or is not read back unchanged.
    """
    target = folder / plan.name(shard)
    source = plan.source_digest(shard)  # before reading: an image that changes meanwhile will be packed again
    try:
        with atomic.temporary_beside(target) as temporary:
            expected, broken = _write_tar(plan, shard, temporary)
            if broken and not skip_broken:
                return PackedShard(0, 0, None, None, source, broken)
            if not expected:
                for path in (target, shard_index.index_path(target)):
                    path.unlink(missing_ok=True)
                return PackedShard(0, 0, None, None, source, broken)
            text = _verify(temporary, target, expected)
            packed = PackedShard(
                samples=len(expected),
                size=temporary.stat().st_size,
                tar=sha256(temporary),
                index=hashlib.sha256(text.encode()).hexdigest(),
                source=source,
                broken=broken,
            )
            # The index comes first, so that a shard that exists is complete.
            shard_index.write_text(shard_index.index_path(target), text)
            atomic.move_into_place(temporary, target)
            return packed
    except OSError as error:
        raise MachineError(f"{target}: cannot be written: {error.strerror or error}") from None


def _write_tar(plan: ShardPlan, shard: int, path: Path) -> Tuple[Dict[str, Tuple[str, int]], List[str]]:
    """Write a tar file.

    Returns:
        (digest, label) of each image by its name, and the broken images with the reasons.
    """
    written: Dict[str, Tuple[str, int]] = {}
    broken: List[str] = []
    with path.open("wb") as file:
        with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
            for key, index in zip(plan.keys(shard), plan.samples(shard)):
                try:
                    suffix, data = encode_image(plan, index)
                except DataError as error:
                    broken.append(f"{plan.dataset.describe(index)}: {error}")
                    continue
                label = plan.dataset.label(index)
                _add_member(archive, key + suffix, data)
                _add_member(archive, key + LABEL_SUFFIX, str(label).encode())
                written[key + suffix] = (hashlib.sha256(data).hexdigest(), label)
        file.flush()
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):  # so that it is read back from the disk
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return written, broken


def _add_member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # without time and owner, so that the same images give the same shard
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _verify(path: Path, target: Path, expected: Dict[str, Tuple[str, int]]) -> str:
    """Read a shard back, compare every member, and return the text of its index.

    Raises:
        MachineError: it differs from what was written.
    """
    try:
        samples = scan_shard(path)
    except DataError as error:
        raise MachineError(f"{target}: cannot be read back: {error}; the disk or the memory is faulty") from None
    contents = {}
    with path.open("rb") as file:
        for sample in samples:
            file.seek(sample.offset)
            contents[sample.name] = (hashlib.sha256(file.read(sample.size)).hexdigest(), sample.label)
    if contents != expected:
        raise MachineError(f"{target}: what is read back is not what was written; the disk or the memory is faulty")
    return shard_index.format_index(samples, path.stat().st_size)


def encode_image(plan: ShardPlan, index: int) -> Tuple[str, bytes]:
    """Return the suffix and content of an image's file in the shard: the original, or a reduced JPEG.

    Raises:
        DataError: it cannot be decoded.
    """
    data = plan.dataset.read(index)
    image = decode_image(data)
    short, quality = plan.options.resize_short, plan.options.quality
    if short is not None and quality is not None and min(image.shape[:2]) > short:
        return ".jpg", _reduced_jpeg(image, short, quality)
    suffix = Path(plan.dataset.describe(index)).suffix.lower()
    if suffix in formats.IMAGE_SUFFIXES:
        return suffix, data
    kind = formats.check(data, MAX_PIXELS)
    if kind not in _SUFFIX_OF_KIND:
        raise DataError(f"an image of unknown kind; name it by its kind ({' '.join(formats.IMAGE_SUFFIXES)})")
    return _SUFFIX_OF_KIND[kind], data


def _reduced_jpeg(image: np.ndarray, short: int, quality: int) -> bytes:
    """Return an image [H, W, 3] RGB as a JPEG with the shorter side ``short``."""
    height, width = image.shape[:2]
    scale = short / min(height, width)
    size = (max(short, round(width * scale)), max(short, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    try:
        done, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        done = False
    if not done:
        raise DataError(f"{size[0]} x {size[1]} pixels cannot be written as a JPEG, which has at most 65500 per side")
    decode_image(data)
    return bytes(data)
