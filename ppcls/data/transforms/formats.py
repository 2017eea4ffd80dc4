"""What an image file says about itself: its kind, its size, and whether it is all there.

Decoders fill in for what is missing (the rest of a cut-off JPEG is grey), and allocate what a header claims. So both
are checked before one is called.
"""

from __future__ import annotations

import struct
import zlib
from typing import Callable, Dict, Tuple

from ppcls.errors import DataError

# What OpenCV reads, by file name. Folders are searched for these; a file that is named is tried whatever its name.
_SUFFIXES = ".jpg .jpeg .jpe .png .bmp .dib .webp .gif .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif .exr .hdr"
IMAGE_SUFFIXES = tuple(_SUFFIXES.split())

_PNG = b"\x89PNG\r\n\x1a\n"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TEXT = bytes({9, 10, 13, *range(32, 127)})


def check(data: bytes, max_pixels: int) -> str:
    """Check a file before it is decoded; return its kind for messages ("JPEG", "image" where not known).

    Raises:
        DataError: empty, not an image, cut off, or of more than ``max_pixels`` pixels.
    """
    kind, width, height = measure(data)
    if width * height > max_pixels:
        raise DataError(too_large(width, height, max_pixels))
    return kind


def measure(data: bytes) -> Tuple[str, int, int]:
    """Return a file's kind, width and height as its header has them; sides are 0 where it does not tell.

    Raises:
        DataError: empty, not an image, or cut off.
    """
    if not data:
        raise DataError("the file is empty")
    kind = _kind(data)
    if kind not in _READERS:
        return kind, 0, 0
    try:
        width, height = _READERS[kind](data)
    except (struct.error, IndexError):
        raise DataError(f"the {kind} is cut off within its header, after {len(data)} bytes") from None
    return kind, width, height


def too_large(width: int, height: int, max_pixels: int) -> str:
    """Return the message for an image with too many pixels."""
    return (
        f"the image is {width} x {height}, more than {max_pixels} pixels; if it is genuine, resize it or raise "
        f"DecodeImage.max_pixels"
    )


def _kind(data: bytes) -> str:
    if data.startswith(b"\xff\xd8"):
        return "JPEG"
    if data.startswith(_PNG):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith(_TIFF):
        return "TIFF"
    start = data[:64].lstrip()
    if start[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<svg "):
        raise DataError("not an image but a web page or XML; the download probably failed")
    portable = start[:1] == b"P" and start[1:2].isdigit()  # PNM may be text
    if not portable and not start.startswith(b"#?") and not start.translate(None, _TEXT):
        raise DataError(f"not an image: text, {bytes(start[:24]).decode('ascii')!r}")
    return "image"


def _cut_off(kind: str, data: bytes, what: str) -> DataError:
    return DataError(f"the {kind} is truncated: {what} ({len(data)} bytes); copy or download it again")


def _jpeg(data: bytes) -> Tuple[int, int]:
    """Return (width, height); the markers are those of ITU-T T.81, annex B."""
    position, size = 2, (0, 0)
    while True:
        if data[position] != 0xFF:
            raise DataError(f"the JPEG is damaged: no marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without content
            position += 2
            continue
        if marker == 0xD9:
            raise DataError("the JPEG is damaged: it ends without a picture")
        length = struct.unpack_from(">H", data, position + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            size = (width, height)
            # Huffman codes (markers C0 to C2) spend a bit a block of 8 x 8 at least. Decoders make the rest up.
            if marker <= 0xC2 and -(-width // 8) * -(-height // 8) > 8 * len(data):
                raise DataError(f"the JPEG is damaged: it claims {width} x {height} pixels and has {len(data)} bytes")
        position += 2 + length
        if marker == 0xDA:
            break
    # Searched after the first scan's header only: an embedded thumbnail has an end marker of its own. Within a scan
    # 0xFF is always followed by something else, and bytes after the end are harmless. From behind, it is found at once.
    if data.rfind(b"\xff\xd9", position) < 0:
        raise _cut_off("JPEG", data, "its end marker is missing")
    return size


def _png(data: bytes) -> Tuple[int, int]:
    """Return (width, height) after checking every chunk's checksum; see the PNG specification, section 5."""
    width, height = struct.unpack_from(">II", data, 16)
    position, view = len(_PNG), memoryview(data)
    while True:
        if position + 12 > len(data):
            raise _cut_off("PNG", data, "its last chunk (IEND) is missing")
        length = struct.unpack_from(">I", data, position)[0]
        name, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            raise _cut_off("PNG", data, f"chunk {name.decode('latin-1')!r} ends after the file does")
        # A lower-case initial marks what a decoder may ignore; programs are known to write wrong checksums there.
        critical = not name[0] & 0x20
        if critical and zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise DataError(f"the PNG is damaged: wrong checksum in chunk {name.decode('latin-1')!r} at {position}")
        if name == b"IEND":
            return width, height
        position = end + 4


def _gif(data: bytes) -> Tuple[int, int]:
    if b"\x3b" not in data[-16:]:  # some writers pad
        raise _cut_off("GIF", data, "its end marker is missing")
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _bmp(data: bytes) -> Tuple[int, int]:
    header = struct.unpack_from("<I", data, 14)[0]
    if header == 12:  # OS/2
        width, height = struct.unpack_from("<HH", data, 18)
        bits, compression = struct.unpack_from("<H", data, 24)[0], 0
    else:
        width, height = struct.unpack_from("<ii", data, 18)
        bits, compression = struct.unpack_from("<HI", data, 28)
    width, height = abs(width), abs(height)  # a negative height means top-down rows
    if compression == 0:
        needed = struct.unpack_from("<I", data, 10)[0] + (width * bits + 31) // 32 * 4 * height
        if len(data) < needed:
            raise _cut_off("BMP", data, f"its pixels end at byte {needed}")
    return width, height


def _webp(data: bytes) -> Tuple[int, int]:
    """Return (width, height); see RFC 9649."""
    end = struct.unpack_from("<I", data, 4)[0] + 8
    if len(data) < end:
        raise _cut_off("WebP", data, f"it should have {end} bytes")
    variety = data[12:16]
    if variety == b"VP8X":
        return _uint24(data, 24) + 1, _uint24(data, 27) + 1
    if variety == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _uint24(data: bytes, position: int) -> int:
    return int(struct.unpack("<I", data[position : position + 3] + b"\0")[0])


def _tiff(data: bytes) -> Tuple[int, int]:
    """Return (width, height) of the first picture; BigTIFF, rare, is left to OpenCV's own limit."""
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", data, 2)[0] != 42:
        return 0, 0
    directory = struct.unpack_from(order + "I", data, 4)[0]
    sides = {256: 0, 257: 0}  # the tags of width and height
    try:
        for entry in range(struct.unpack_from(order + "H", data, directory)[0]):
            position = directory + 2 + 12 * entry
            tag, kind = struct.unpack_from(order + "HH", data, position)
            if tag in sides:
                sides[tag] = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, position + 8)[0]
    except struct.error:
        raise _cut_off("TIFF", data, "its directory is missing") from None
    return sides[256], sides[257]


_READERS: Dict[str, Callable[[bytes], Tuple[int, int]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "WebP": _webp,
    "TIFF": _tiff,
}
