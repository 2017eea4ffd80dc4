"""The pictures of a page: each is in it once, as part of its style, and shown wherever it is named."""

from __future__ import annotations

import time
from dataclasses import dataclass
from html import escape
from typing import Dict, List, Optional, Sequence, Set

import numpy as np

from ppcls.data.datasets import Dataset
from ppcls.data.transforms.conversion import to_channels
from ppcls.data.transforms.decode import decode_image
from ppcls.utils.html import data_uri
from ppcls.utils.opencv import cv2

SMALL, LARGE = 72, 160  # pixels of the longer side
_PIXELATED = 64  # pictures up to this size are shown with visible pixels, without loss
_QUALITY = 82
STYLE = """
.t { display: inline-block; width: 72px; height: 72px; background: var(--soft) center / contain no-repeat;
  border-radius: .25rem; vertical-align: top; print-color-adjust: exact }
.t.large { width: 100%; height: auto; aspect-ratio: 1 } .t.pixels { image-rendering: pixelated }
"""


@dataclass(frozen=True)
class _Picture:
    content: bytes
    kind: str
    pixelated: bool
    side: int


class Thumbnails:
    """Small pictures by key."""

    def __init__(self) -> None:
        self._pictures: Dict[str, _Picture] = {}
        self._shown: Set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._pictures

    def has(self, key: str, side: int) -> bool:
        """Return whether there is such a picture, and it was made for this side or a longer one."""
        return key in self._pictures and self._pictures[key].side >= side

    def add(self, key: str, image: np.ndarray, side: int = LARGE) -> None:
        """Take an image [H, W, 3] uint8 RGB, reduced to at most ``side`` pixels."""
        height, width = image.shape[:2]
        scale = side / max(height, width)
        if scale < 1:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        pixelated = max(image.shape[:2]) <= _PIXELATED and scale >= 1
        kind = "png" if pixelated else "jpeg"
        options = [] if pixelated else [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        content = cv2.imencode(f".{kind}", np.ascontiguousarray(image[:, :, ::-1]), options)[1].tobytes()
        self._pictures[key] = _Picture(content, kind, pixelated, side)

    def image(self, key: str) -> np.ndarray:
        """Return a picture's pixels [h, w, 3] uint8 RGB."""
        decoded = cv2.imdecode(np.frombuffer(self._pictures[key].content, np.uint8), cv2.IMREAD_COLOR)
        return np.asarray(decoded)[:, :, ::-1]

    def show(self, key: str, text: str, large: bool = False) -> str:
        """Return the element that shows a picture, with a text for those who do not see it; an empty frame if none."""
        label = escape(text, quote=True)
        if key not in self._pictures:
            return f"<i class='t{' large' if large else ''}' role='img' aria-label='no picture: {label}'></i>"
        self._shown.add(key)
        marks = f"t{' large' if large else ''}{' pixels' if self._pictures[key].pixelated else ''} {key}"
        return f"<i class='{marks}' role='img' aria-label='{label}' title='{label}'></i>"

    def style(self) -> str:
        """Return the style with the pictures that were shown since the last call."""
        shown, self._shown = sorted(self._shown), set()
        rules = []
        for key in shown:
            picture = self._pictures[key]
            rules.append(f".{key}{{background-image:url({data_uri(picture.content, picture.kind)})}}")
        return STYLE + "\n".join(rules)


def read_photo(dataset: Dataset, index: int) -> np.ndarray:
    """Return an image of a data set, [H, W, 3] uint8 RGB.

    Raises:
        DataError: it is broken.
    """
    content = dataset.read(index)
    if isinstance(content, np.ndarray) and content.ndim == 3:
        return to_channels(content, 3)
    return decode_image(content)


def load_photos(
    thumbnails: Thumbnails, dataset: Dataset, indices: Dict[str, int], side: int, seconds: float
) -> Optional[str]:
    """Read photos and add them; those that are there already are left.

    Args:
        indices: of the data set, by key, the most important first.
        seconds: after which no more are read.

    Returns:
        What went wrong, None if nothing did.
    """
    deadline = time.monotonic() + seconds
    failed: List[str] = []
    for number, (key, index) in enumerate(indices.items()):
        if thumbnails.has(key, side):
            continue
        if time.monotonic() > deadline:
            return f"reading photos takes long: the first {number} of {len(indices)} are shown"
        try:
            thumbnails.add(key, read_photo(dataset, index), side)
        except Exception as error:  # noqa: BLE001  code of anybody's, and files that are gone: the page says so
            failed.append(f"{type(error).__name__}: {error}")
    return _describe(failed, len(indices))


def _describe(failed: Sequence[str], total: int) -> Optional[str]:
    return f"{len(failed)} of {total} photos cannot be shown; the first: {failed[0]:.300}" if failed else None
