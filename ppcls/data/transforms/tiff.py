"""The directory of a TIFF file: how large its image is, and how its pixels are stored (TIFF 6.0)."""

from __future__ import annotations

import struct
from typing import Dict, NamedTuple, Optional

from ppcls.errors import DataError

_TYPES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4)}  # unsigned integers: format of ``struct``, bytes
_PIXEL_BITS = 4 * 64  # RGBA in double precision
_TILE = 1 << 22  # pixels; a tile may be larger than its image up to this size
# Sections 8, 15 and 19. The sample format is 1 for unsigned integers.
_TAGS = {
    256: "width",
    257: "height",
    258: "bits",
    262: "photometric",
    277: "samples",
    322: "tile_width",
    323: "tile_height",
    339: "sample_format",
}
_SAMPLE_FORMATS = {2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex floats"}
_SEPARATED = 5  # the photometric interpretation of CMYK


class Layout(NamedTuple):
    """The first image of a file; all values are 0 where the file does not tell them.

    Attributes:
        width: in pixels.
        height: in pixels.
        bits: per sample.
        samples: per pixel.
        photometric: meaning of the samples: 2 is RGB, 5 is CMYK.
    """

    width: int = 0
    height: int = 0
    bits: int = 0
    samples: int = 0
    photometric: int = 0

    @property
    def has_alpha(self) -> bool:
        """Whether a pixel has an alpha channel."""
        return self.samples in (2, 4) and self.photometric != _SEPARATED


def read(data: bytes) -> Layout:
    """Return the layout of a file's first image. BigTIFF, which is rare, gives zeros.

    Raises:
        DataError: the directory is damaged, the image is none to classify, or its samples have no known range: those
            of 8 bits go to 255 and those of 16 bits to 65535, but integers of 32 bits and floats may mean anything.
        struct.error: the file is cut off.
    """
    order = "<" if data[:2] == b"II" else ">"
    if struct.unpack_from(order + "H", data, 2)[0] != 42:
        return Layout()
    values = _values(data, struct.unpack_from(order + "I", data, 4)[0], order)
    width, height, bits, samples = (values.get(name, 0) for name in ("width", "height", "bits", "samples"))
    if max(bits, 1) * max(samples, 1) > _PIXEL_BITS:
        raise DataError(f"the TIFF has {samples} samples of {bits} bits per pixel, more than any image to classify")
    tile_width, tile_height = values.get("tile_width", 0), values.get("tile_height", 0)
    if tile_width * tile_height > max(width * height, _TILE):
        raise DataError(
            f"the TIFF is damaged: it has tiles of {tile_width} x {tile_height} for a picture of {width} x {height}"
        )
    _require_known_range(bits, _SAMPLE_FORMATS.get(values.get("sample_format", 1)))
    return Layout(width, height, bits, samples, values.get("photometric", 0))


def _require_known_range(bits: int, sample_format: Optional[str]) -> None:
    if sample_format is not None or bits > 16:
        raise DataError(
            f"a TIFF of {bits}-bit {sample_format or 'integers'}: which value is white is not known; save it with 8 or "
            f"16 bits per sample, scaled to 0..255 or 0..65535"
        )


def _values(data: bytes, directory: int, order: str) -> Dict[str, int]:
    """Return the first value of each of ``_TAGS`` in a directory."""
    values: Dict[str, int] = {}
    for entry in range(struct.unpack_from(order + "H", data, directory)[0]):
        position = directory + 2 + 12 * entry
        tag, kind, count = struct.unpack_from(order + "HHI", data, position)
        if tag not in _TAGS:
            continue
        if _TAGS[tag] in values:  # decoders differ in which one they take
            raise DataError(f"the TIFF is damaged: its directory has tag {tag} twice")
        if kind not in _TYPES:
            raise DataError(f"the TIFF is damaged: tag {tag} is of type {kind}")
        code, size = _TYPES[kind]
        start = position + 8 if count * size <= 4 else struct.unpack_from(order + "I", data, position + 8)[0]
        values[_TAGS[tag]] = struct.unpack_from(order + code, data, start)[0]
    return values
