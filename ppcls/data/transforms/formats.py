"""Checks of image files before decoding: format, size in pixels, and completeness.

Decoders replace missing data (the rest of a truncated JPEG is grey) and allocate as much memory as a header claims.
So both are checked before a decoder is called.
"""

from __future__ import annotations

import re
import struct
import zlib
from typing import Callable, Dict, Iterator, Tuple

from ppcls.data.transforms import pnm, tiff
from ppcls.errors import DataError

# The file name suffixes of the formats that can be decoded. A file with another suffix, or without one, is recognized
# by its content (``image_files``), and a file that is given by name is decoded whatever its suffix.
_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .pjpeg .pjp .png .bmp .dib .webp .gif .tif .tiff .ppm .pgm .pbm .pnm .jp2 .avif .heic .heif "
    ".hif .exr .hdr"
)
IMAGE_SUFFIXES = tuple(_SUFFIXES.split())
# The brands of ISO base media files (ISO/IEC 14496-12, section 4.3) that are images.
_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIF"),
}

_PNG = b"\x89PNG\r\n\x1a\n"
# What files of a format begin with.
_BEGINNINGS = {
    b"\xff\xd8": "JPEG",
    _PNG: "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "TIFF"),
    **dict.fromkeys((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"), "JPEG XL"),
}
_PORTABLE = re.compile(rb"P[1-7fF]\s")
_JPEG_MARKER = re.compile(rb"\xff+([^\xff])", re.DOTALL)  # after any number of fill bytes
_PAM_WHITE = re.compile(rb"^MAXVAL\s+(\d{1,10})\s", re.MULTILINE)
_JPEG_AFTER_SCAN = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")  # 00 and D0 to D7 occur within a scan
# A decoder visits all pixels for each scan. Progressive files have about ten scans; some programs write dozens.
_JPEG_SCANS = 100
_JPEG_SEGMENTS = 20_000  # not counting restart markers; with up to 64 KB each, this is enough for any accepted file
_TEXT = bytes({9, 10, 13, *range(32, 127)})


def check(data: bytes, max_pixels: int) -> str:
    """Check a file before it is decoded.

    Returns:
        The name of its format for messages, such as "JPEG", or "image" if it is not known.

    Raises:
        DataError: the file is empty, not an image, truncated, or has more than ``max_pixels`` pixels.
    """
    kind, width, height = read_header(data)
    if width * height > max_pixels:
        raise DataError(too_large(width, height, max_pixels))
    return kind


def read_header(data: bytes) -> Tuple[str, int, int]:
    """Return a file's format, width and height from its header; the sides are 0 if it does not tell them.

    Raises:
        DataError: the file is empty, not an image, or truncated.
    """
    if not data:
        raise DataError("the file is empty")
    kind = detect_format(data)
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


def detect_format(data: bytes) -> str:
    """Return the format that a file's first bytes tell, "image" if they tell none.

    Args:
        data: the file, or at least its first 64 bytes.

    Raises:
        DataError: it is text, or a web page.
    """
    for beginning, kind in _BEGINNINGS.items():
        if data.startswith(beginning):
            return kind
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        # A generic first brand may be followed by that of AVIF among the compatible ones.
        brands = [data[8:12], *(data[start : start + 4] for start in range(16, min(data[3], 64), 4))]
        kinds = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return "AVIF" if "AVIF" in kinds else kinds[0] if kinds else "image"
    start = data[:64].lstrip()
    if start[:5].lower() in (b"<!doc", b"<html", b"<?xml", b"<svg "):
        raise DataError("not an image but a web page or XML; the download probably failed")
    if _PORTABLE.match(data):
        return {b"f": "PFM", b"F": "PFM", b"7": "PAM"}.get(data[1:2], "PNM")
    if not start.startswith(b"#?") and not start.translate(None, _TEXT):
        raise DataError(f"not an image: text, {bytes(start[:24]).decode('ascii')!r}")
    return "image"


def _truncated(kind: str, data: bytes, problem: str) -> DataError:
    return DataError(f"the {kind} is truncated: {problem} ({len(data)} bytes); copy or download it again")


def _jpeg(data: bytes) -> Tuple[int, int]:
    """Return (width, height); the markers are those of ITU-T T.81, annex B."""
    size, components, coding = (0, 0), 0, 0
    segments = jpeg_segments(data)
    for marker, position in segments:
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width, components = struct.unpack_from(">HHB", data, position + 3)
            size, coding = (width, height), marker
            # Huffman codes (markers C0 to C2) take at least one bit per block of 8 x 8. Decoders would invent the rest.
            if marker <= 0xC2 and -(-width // 8) * -(-height // 8) > 8 * len(data):
                raise DataError(
                    f"the JPEG is damaged: it claims {width} x {height} pixels but has only {len(data)} bytes"
                )
    else:
        raise DataError("the JPEG is damaged: it ends without a picture")
    # The end marker is searched after the header of the first scan, because an embedded thumbnail has its own. Within a
    # scan, 0xFF is always followed by something else, and bytes after the end are harmless. It is searched backwards,
    # which is fast.
    if data.rfind(b"\xff\xd9", position) < 0:
        raise _truncated("JPEG", data, "its end marker is missing")
    # A sequential JPEG whose first scan has all components has only one scan. For others, counting the bytes first is
    # faster than following the segments. It can only count too many, such as those of a second image after the end.
    several = coding not in (0xC0, 0xC1) or data[position + 2] < components
    suspicious = several and data.count(b"\xff\xda", position) >= _JPEG_SCANS
    if suspicious and sum(marker == 0xDA for marker, _ in segments) >= _JPEG_SCANS:
        raise DataError(f"the JPEG has more than {_JPEG_SCANS} scans, which nothing needs; save it again")
    return size


def jpeg_segments(data: bytes) -> Iterator[Tuple[int, int]]:
    """Yield (marker, position of its length) of a JPEG's segments; markers without content are left out."""
    position, in_scan = 2, False
    for _ in range(_JPEG_SEGMENTS):
        match = (_JPEG_AFTER_SCAN.search if in_scan else _JPEG_MARKER.match)(data, position)
        if match is None:
            if in_scan or position >= len(data) or set(data[position:]) == {0xFF}:
                raise IndexError  # truncated
            raise DataError(f"the JPEG is damaged: no marker at byte {position}")
        position = match.end()
        marker = data[position - 1]
        if marker == 0xD9:
            return
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:  # markers without content
            continue
        yield marker, position
        position += struct.unpack_from(">H", data, position)[0]
        in_scan = marker == 0xDA
    raise DataError(f"the JPEG has more than {_JPEG_SEGMENTS} markers, which nothing needs; save it again")


def _png(data: bytes) -> Tuple[int, int]:
    """Return (width, height) after checking the checksums of the critical chunks (PNG specification, section 5)."""
    width, height = struct.unpack_from(">II", data, 16)
    position, view = len(_PNG), memoryview(data)
    while True:
        if position + 12 > len(data):
            raise _truncated("PNG", data, "its last chunk (IEND) is missing")
        length = struct.unpack_from(">I", data, position)[0]
        name, end = data[position + 4 : position + 8], position + 8 + length
        if end + 4 > len(data):
            raise _truncated("PNG", data, f"chunk {name.decode('latin-1')!r} ends after the file does")
        # Chunks with a lower-case initial are optional; some programs write wrong checksums there.
        critical = not name[0] & 0x20
        if critical and zlib.crc32(view[position + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise DataError(f"the PNG is damaged: wrong checksum in chunk {name.decode('latin-1')!r} at {position}")
        if name == b"IEND":
            return width, height
        position = end + 4


def _gif(data: bytes) -> Tuple[int, int]:
    if b"\x3b" not in data[-16:]:  # some writers pad
        raise _truncated("GIF", data, "its end marker is missing")
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
            raise _truncated("BMP", data, f"its pixels end at byte {needed}")
    return width, height


def _webp(data: bytes) -> Tuple[int, int]:
    """Return (width, height); see RFC 9649."""
    end = struct.unpack_from("<I", data, 4)[0] + 8
    if len(data) < end:
        raise _truncated("WebP", data, f"it should have {end} bytes")
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
    """Return (width, height) of the first image. BigTIFF, which is rare, is left to OpenCV's own limit."""
    try:
        layout = tiff.read(data)
    except struct.error:
        raise _truncated("TIFF", data, "its directory is missing") from None
    return layout.width, layout.height


def _pnm(data: bytes) -> Tuple[int, int]:
    header = pnm.read(data)
    return header.width, header.height


def _pam(data: bytes) -> Tuple[int, int]:
    """Refuse a PAM whose white decoders do not know; its size is left to OpenCV's own limit."""
    match = _PAM_WHITE.search(data)
    if match is not None and int(match[1]) not in (255, 65535):
        raise DataError(f"a PAM whose largest value is {int(match[1])}; save it with 255 or 65535")
    return 0, 0


def _pfm(data: bytes) -> Tuple[int, int]:
    raise DataError("a PFM has floats: which value is white is not known; save it with 8 or 16 bits per sample")


_READERS: Dict[str, Callable[[bytes], Tuple[int, int]]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "GIF": _gif,
    "BMP": _bmp,
    "WebP": _webp,
    "TIFF": _tiff,
    "PNM": _pnm,
    "PAM": _pam,
    "PFM": _pfm,
}
