"""Small pictures on a page, each with a few lines of text."""

from __future__ import annotations

from html import escape
from typing import Any, Iterable, Sequence

import numpy as np

from ppcls.data.transforms.conversion import to_channels
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
from ppcls.utils import html
from ppcls.utils.opencv import cv2

SIDE = 176  # pixels of the longer side
_TINY = 64  # pixels; smaller pictures are shown with their pixels, not blurred
STYLE = """
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .9rem; margin: .6rem 0 }
.cards figure { margin: 0; min-width: 0 } .cards img { width: 100%; height: 8.5rem; object-fit: contain;
  background: var(--soft); border-radius: .3rem } .cards .tiny { image-rendering: pixelated }
.cards figcaption { font-size: .8rem; line-height: 1.35; overflow-wrap: anywhere }
"""


def cards(figures: Iterable[str]) -> str:
    """Return figures side by side, as many as fit."""
    return "<div class='cards'>" + "\n".join(figures) + "</div>"


def figure(data: Any, name: str, lines: Sequence[str]) -> str:
    """Return a picture with lines of HTML below it.

    Args:
        data: encoded bytes or pixels [H, W, C]; or a DataError, whose text stands in place of the picture.
        name: its path, for those who cannot see it.
    """
    try:
        picture = _thumbnail(data)
    except DataError as error:
        image = f"<p class='small bad'>{escape(str(error))}</p>"
    else:
        kind = " class='tiny'" if max(picture.shape[:2]) < _TINY else ""
        encoded = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        uri, title = html.data_uri(encoded, "jpeg"), escape(name)
        image = f"<img{kind} alt='{title}' title='{title}' src='{uri}'>"
    return f"<figure>{image}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"


def _thumbnail(data: Any) -> np.ndarray:
    """Return a small picture [h, w, 3] uint8 RGB; a picture that is small already stays as it is."""
    if isinstance(data, DataError):
        raise data
    is_pixels = isinstance(data, np.ndarray) and data.ndim == 3
    picture = to_channels(data, 3) if is_pixels else decode_image(data)
    scale = SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
