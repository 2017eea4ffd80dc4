"""Image orientation: read it from Exif, XMP, irot/imir, and apply it.

Cameras store a picture as the sensor saw it, and note how to turn it.
Every picture is turned upright, whatever decodes it and whether it comes as a file, as bytes or as a Pillow image. So
people's photos are seen as people see them. The ImageNet pipelines of the papers leave pictures as they are stored.
"""

from __future__ import annotations

import re
import struct
from typing import Any, Callable, Dict, Iterator, Tuple

import numpy as np

from ppcls.data.transforms import formats

_ORIENTATION = 0x0112
# By the orientation's number, what brings the picture upright (Exif 2.32, section 4.6.4).
_UPRIGHT: Dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:=\"|>)([1-8])")
# Boxes of HEIF (ISO/IEC 23008-12, sections 6.5.10 and 6.5.12): quarter turns counterclockwise, then mirroring.
_IROT, _IMIR = b"\0\0\0\x09irot", b"\0\0\0\x09imir"
_HEIF_ORIENTATIONS = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (1, 0): 5,
    (2, 0): 2,
    (3, 0): 7,
    (0, 1): 2,
    (1, 1): 7,
    (2, 1): 4,
    (3, 1): 5,
}


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image [H, W, C] turned by the number of its orientation; others than 2 to 8 leave it as it is."""
    turned = _UPRIGHT.get(orientation)
    return image if turned is None else np.ascontiguousarray(turned(image))


def of_file(data: bytes, kind: str) -> int:
    """Return the orientation that a file notes for pixels that its decoder does not turn; 1 if it notes none.

    TIFF and HEIF give 1, because their decoders turn the pixels.

    Args:
        kind: the file's format, see ``formats.check``.
    """
    reader = _READERS.get(kind)
    return reader(data) if reader is not None else 1


def of_pillow(image: Any) -> int:
    """Return the orientation of a Pillow image whose pixels were loaded; 1 if it has none."""
    return int(image.getexif().get(_ORIENTATION, 1))


def _jpeg(data: bytes) -> int:
    xmp = 1
    for marker, position in formats.jpeg_segments(data):
        if marker == 0xDA:
            break
        if marker != 0xE1:
            continue
        content = data[position + 2 : position + struct.unpack_from(">H", data, position)[0]]
        if content.startswith(_EXIF):
            found = _exif(content[len(_EXIF) :])
            if found:
                return found
        elif content.startswith(_XMP):
            xmp = _xmp(content)
    return xmp


def _png(data: bytes) -> int:
    xmp = 1
    position = 8
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length] if name in (b"eXIf", b"iTXt") else b""
        if name == b"eXIf" and (found := _exif(content)):
            return found
        if content.startswith(b"XML:com.adobe.xmp\0"):
            xmp = _xmp(content)
        position += 12 + length
    return xmp


def _webp(data: bytes) -> int:
    if data[12:16] != b"VP8X":
        return 1
    chunks = dict(_riff_chunks(data))
    exif = chunks.get(b"EXIF", b"")
    return _exif(exif[len(_EXIF) :] if exif.startswith(_EXIF) else exif) or _xmp(chunks.get(b"XMP ", b""))


def _riff_chunks(data: bytes) -> Iterator[Tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        yield name, data[position + 8 : position + 8 + length] if name in (b"EXIF", b"XMP ") else b""
        position += 8 + length + length % 2


def _avif(data: bytes) -> int:
    """Return the orientation of an AVIF image's ``irot`` and ``imir``; its Exif data does not count."""
    rotation, mirror = (data.find(box, 0, 1 << 16) for box in (_IROT, _IMIR))
    quarter_turns = data[rotation + 8] & 3 if rotation >= 0 else 0
    return _HEIF_ORIENTATIONS[quarter_turns, data[mirror + 8] & 1 if mirror >= 0 else None]


def _xmp(content: bytes) -> int:
    match = _XMP_ORIENTATION.search(content)
    return int(match[1]) if match else 1


def _exif(content: bytes) -> int:
    """Return the orientation in the first directory of Exif data; 0 if there is none, or it cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(content[:4])
    if order is None:
        return 0
    try:
        directory = struct.unpack_from(order + "I", content, 4)[0]
        for entry in range(struct.unpack_from(order + "H", content, directory)[0]):
            position = directory + 2 + 12 * entry
            tag, kind, count = struct.unpack_from(order + "HHI", content, position)
            if tag == _ORIENTATION and kind == 3 and count == 1:
                return int(struct.unpack_from(order + "H", content, position + 8)[0])
    except struct.error:
        pass
    return 0


_READERS: Dict[str, Callable[[bytes], int]] = {"JPEG": _jpeg, "PNG": _png, "WebP": _webp, "AVIF": _avif}
