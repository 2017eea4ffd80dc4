"""Read every image of a data set, in parallel."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, TypeVar, Union

import numpy as np
from tqdm import tqdm

from ppcls.data.datasets import Dataset
from ppcls.data.inspection.similarity import Fingerprint, fingerprint
from ppcls.data.transforms.conversion import to_channels
from ppcls.data.transforms.decode import decode_image
from ppcls.data.workers import worker_pool
from ppcls.errors import DataError
from ppcls.utils import environment
from ppcls.utils.opencv import cv2

_THUMBNAIL_SIDE = 96  # pixels
_QUALITY = 80  # of thumbnails, as JPEG
COLOUR = "colour"  # plain, of 8 bits
_CHUNK = 16  # images that a process takes at a time
T = TypeVar("T")


@dataclass(frozen=True)
class Finding:
    """The properties of one image.

    Attributes:
        error: why it cannot be used; None if it can.
        size: (width, height) in pixels.
        mode: ``COLOUR``, "grey", "alpha", "16 bit" or "CMYK".
        digest: SHA-256 of the file, or of the pixels if there is no file.
        fingerprint: to find near-duplicates.
    """

    error: Optional[str] = None
    size: Tuple[int, int] = (0, 0)
    mode: str = COLOUR
    digest: str = ""
    fingerprint: Optional[Fingerprint] = None


_dataset: List[Dataset] = []  # the data set of this worker process


def scan_images(dataset: Dataset, workers: Optional[int] = None, title: str = "reading") -> List[Finding]:
    """Read every image of a data set, with a progress bar.

    Args:
        workers: number of processes; by default one per core.

    Raises:
        MachineError: a process was killed.
    """
    return _map_images(_scan_image, dataset, range(len(dataset)), workers, title)


def read_thumbnails(dataset: Dataset, indices: Sequence[int], workers: Optional[int] = None) -> Dict[int, bytes]:
    """Return images, reduced to at most 96 pixels per side, as JPEG files by their index; broken ones are left out.

    Args:
        workers: number of processes; by default one per core.

    Raises:
        MachineError: a process was killed.
    """
    files = _map_images(_encode_thumbnail, dataset, indices, workers, "thumbnails")
    return {index: file for index, file in zip(indices, files) if file is not None}


def _map_images(
    function: Callable[[int], T], dataset: Dataset, indices: Sequence[int], workers: Optional[int], title: str
) -> List[T]:
    """Return the result of ``function`` for each index, computed in several processes, with a progress bar."""
    count = min(workers if workers is not None else environment.cores(), -(-len(indices) // _CHUNK))
    bar: Any = {"total": len(indices), "desc": title, "unit": "image", "leave": False, "disable": None}
    if count <= 1:
        _set_dataset(dataset)
        return list(tqdm(map(function, indices), **bar))
    with worker_pool(count, _set_dataset, dataset) as pool:
        return list(tqdm(pool.map(function, indices, chunksize=_CHUNK), **bar))


def _set_dataset(dataset: Dataset) -> None:
    _dataset[:] = [dataset]


def _scan_image(index: int) -> Finding:
    """Return the properties of the image ``index``."""
    try:
        content = _dataset[0].read(index)
        data = content.tobytes() if isinstance(content, np.ndarray) else bytes(content)
        image = _decode(content)
    except DataError as error:
        return Finding(error=str(error))
    return Finding(
        size=(image.shape[1], image.shape[0]),
        mode=_mode_of_pixels(content) if isinstance(content, np.ndarray) else _mode_of_file(content),
        digest=hashlib.sha256(data).hexdigest(),
        fingerprint=fingerprint(image),
    )


def _encode_thumbnail(index: int) -> Optional[bytes]:
    """Return a thumbnail as a JPEG file, None of a broken image. Smaller images keep their size."""
    try:
        reduced = read_reduced(_dataset[0], index, _THUMBNAIL_SIDE)
    except DataError:
        return None
    return bytes(cv2.imencode(".jpg", reduced[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes())


def read_reduced(dataset: Dataset, index: int, side: int) -> np.ndarray:
    """Return an image reduced to at most ``side`` pixels per side, [h, w, 3] uint8 RGB; smaller ones keep their size.

    Raises:
        DataError: the image is broken.
    """
    image = _decode(dataset.read(index))
    height, width = image.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _decode(content: Union[bytes, np.ndarray]) -> np.ndarray:
    if isinstance(content, np.ndarray) and content.ndim == 3:
        return to_channels(content, 3)
    return decode_image(content)


def _mode_of_file(data: Union[bytes, bytearray, memoryview]) -> str:
    """Return the mode of an encoded image."""
    data = bytes(data)
    if data.startswith(b"\xff\xd8") and _jpeg_components(data) == 4:
        return "CMYK"
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return COLOUR if image is None else _mode_of_pixels(image)


def _mode_of_pixels(image: np.ndarray) -> str:
    if image.dtype != np.uint8:
        return "16 bit" if image.dtype == np.uint16 else str(image.dtype)
    channels = image.shape[2] if image.ndim == 3 else 1
    return {1: "grey", 4: "alpha"}.get(channels, COLOUR)


def _jpeg_components(data: bytes) -> int:
    """Return the number of colour components in a JPEG's frame header."""
    position = 2
    while position + 9 < len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return data[position + 9]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return 0
