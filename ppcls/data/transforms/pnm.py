"""PBM, PGM and PPM files ("portable anymap"), whose header tells which value is white (netpbm's pbm(5) to ppm(5)).

Decoders differ in what they make of a white other than 255 and of plain files, so these are decoded here.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from ppcls.errors import DataError

_SEPARATOR = rb"(?:\s|#[^\r\n]*)+"
_NUMBER = _SEPARATOR + rb"(\d{1,10})"
_BITMAP = re.compile(rb"P([14])" + 2 * _NUMBER + rb"\s")
_HEADER = re.compile(rb"P([2356])" + 3 * _NUMBER + rb"\s")
_COMMENT = re.compile(rb"#[^\r\n]*")
_USUAL_WHITE = 255
_MAX_WHITE = 65535


class Header(NamedTuple):
    """The header of a file.

    Attributes:
        width: in pixels.
        height: in pixels.
        channels: 1 or 3.
        white: the largest value; 0 for the two values of a bitmap.
        is_plain: whether values are decimal numbers, instead of bytes.
        start: position of the first value.
    """

    width: int
    height: int
    channels: int
    white: int
    is_plain: bool
    start: int

    @property
    def size(self) -> int:
        """The number of bytes of the values, where these are bytes."""
        if not self.white:
            return -(-self.width // 8) * self.height
        return self.width * self.height * self.channels * (1 if self.white < 256 else 2)


def read(data: bytes) -> Header:
    """Return the header of a file.

    Raises:
        DataError: it is damaged, or the file is truncated.
    """
    match = _HEADER.match(data) or _BITMAP.match(data)
    if match is None:
        raise DataError("the PNM is damaged: its header has no width, height and largest value")
    kind, *numbers = (int(number) for number in match.groups())
    width, height, white = (*numbers, 0)[:3]
    if kind not in (1, 4) and not 0 < white <= _MAX_WHITE:
        raise DataError(f"the PNM is damaged: its largest value is {white}, and must be from 1 to {_MAX_WHITE}")
    header = Header(width, height, 3 if kind in (3, 6) else 1, white, kind < 4, match.end())
    if not header.is_plain and len(data) - header.start < header.size:
        raise DataError(
            f"the PNM is truncated: its pixels end at byte {header.start + header.size} ({len(data)} bytes); copy or "
            f"download it again"
        )
    return header


def decoders_agree(data: bytes) -> bool:
    """Return whether all decoders read a file alike: a bitmap, or bytes of which 255 is white."""
    header = read(data)
    return not header.white or (header.white == _USUAL_WHITE and not header.is_plain)


def decode(data: bytes) -> np.ndarray:
    """Return the pixels of a PGM or PPM, [H, W, 1 or 3] uint8: white becomes 255.

    Of white above 255, the values are scaled to 16 bits, of which the upper 8 are kept.

    Raises:
        DataError: the file is damaged or truncated.
    """
    header = read(data)
    count = header.width * header.height * header.channels
    if header.is_plain:
        texts = _COMMENT.sub(b"", data[header.start :]).split()[:count]
        if len(texts) < count or not all(text.isdigit() and len(text) <= 10 for text in texts):
            raise DataError(f"the PNM is damaged: it must have {count} whole numbers after its header")
        values = np.array([int(text) for text in texts], np.int64)
    else:
        values = np.frombuffer(data, np.uint8 if header.white < 256 else ">u2", count, header.start)
    if values.size and values.max() > header.white:
        raise DataError(f"the PNM is damaged: it has the value {values.max()}, and its largest is {header.white}")
    scale = _USUAL_WHITE if header.white < 256 else _MAX_WHITE
    scaled = np.rint(values * float(scale) / header.white).astype(np.uint16)
    pixels = scaled if header.white < 256 else scaled >> 8
    return pixels.astype(np.uint8).reshape(header.height, header.width, header.channels)
