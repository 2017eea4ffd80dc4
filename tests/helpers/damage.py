"""A hundred images, each broken (or merely unusual) in another way, made from good ones by a seeded fuzzer."""

import io
import struct
import zlib

import cv2
import numpy as np
from PIL import Image

from tests.helpers.images import picture

REFUSED, READ, EITHER = "refused", "read", "either"  # what must become of an image; either: but never a crash

_SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
_HTML = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>nginx</body></html>"


def _encode(kind, image, *flags):
    done, data = cv2.imencode(kind, image, flags)
    assert done
    return data.tobytes()


def _by_pillow(image, kind, **options):
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def good(photo=None):
    """Return files of every kind by suffix, made from a picture [H, W, 3] uint8."""
    image = picture(72, 96, 3) if photo is None else photo
    pillow = Image.fromarray(image)
    return {
        "jpg": _encode(".jpg", image, cv2.IMWRITE_JPEG_QUALITY, 90),
        "progressive.jpg": _encode(".jpg", image, cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        "png": _encode(".png", image),
        "bmp": _encode(".bmp", image),
        "tiff": _encode(".tiff", image),
        "webp": _encode(".webp", image),
        "gif": _by_pillow(pillow, "GIF"),
    }


def _cut(data, share):
    return data[: max(1, int(len(data) * share))]


def _flip_bits(data, start, stop, count, rng):
    changed = bytearray(data)
    for place in rng.integers(start, min(stop, len(data)), count):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _fill(data, start, stop, value):
    return data[:start] + bytes([value]) * (stop - start) + data[stop:]


def _jpeg_size(data, height, width):
    """Return a JPEG whose frame header claims another size."""
    frame = next(at for at in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if at >= 0)
    return data[: frame + 5] + struct.pack(">HH", height, width) + data[frame + 9 :]


def _png_size(data, height, width):
    """Return a PNG whose header claims another size, with a right checksum."""
    header = b"IHDR" + struct.pack(">II", width, height) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]


def _insert(data, marker, content):
    """Return a JPEG with one more segment behind its first marker."""
    return data[:2] + marker + struct.pack(">H", len(content) + 2) + content + data[2:]


def _unusual(image):
    """Yield images that are odd but whole."""
    pillow = Image.fromarray(image)
    frames = [pillow, pillow.rotate(90)]
    yield "cmyk.jpg", _by_pillow(pillow.convert("CMYK"), "JPEG"), READ
    yield "grey.jpg", _by_pillow(pillow.convert("L"), "JPEG"), READ
    yield "palette.png", _by_pillow(pillow.convert("P"), "PNG"), READ
    yield "one bit.png", _by_pillow(pillow.convert("1"), "PNG"), READ
    yield "alpha.png", _by_pillow(pillow.convert("RGBA"), "PNG"), READ
    yield "16 bit.png", _encode(".png", image.astype(np.uint16) * 257), READ
    yield "16 bit grey.png", _encode(".png", image[:, :, 0].astype(np.uint16) * 257), READ
    yield "16 bit.tiff", _encode(".tiff", image.astype(np.uint16) * 257), READ
    yield "animated.gif", _by_pillow(frames[0], "GIF", save_all=True, append_images=frames[1:]), READ
    yield "one pixel.png", _encode(".png", image[:1, :1]), READ
    yield "thin.jpg", _encode(".jpg", image[:, :1]), READ


def _not_images(files):
    """Yield files that are no images, or say that they are others."""
    for name, data in (
        ("nothing.jpg", b""),
        ("one byte.jpg", b"\xff"),
        ("zeros.jpg", bytes(5000)),
        ("ones.png", b"\xff" * 5000),
        ("text.jpg", b"this is not a picture\n" * 20),
        ("number.png", b"42"),
        ("drawing.svg.png", _SVG),
        ("page.jpg", _HTML),
        ("page in white space.jpg", b"\n\n  " + _HTML),
        ("marker.jpg", b"\xff\xd8"),
        ("start and end.jpg", b"\xff\xd8\xff\xd9"),
        ("signature.png", b"\x89PNG\r\n\x1a\n"),
        ("signature.gif", b"GIF89a"),
        ("signature.webp", b"RIFF\x10\0\0\0WEBP"),
        ("signature.tiff", b"II*\0"),
        ("signature.bmp", b"BM"),
        ("archive.jpg", b"PK\x03\x04" + bytes(range(256)) * 4),
        ("pickle.jpg", b"\x80\x04\x95" + bytes(range(256)) * 4),
        ("pdf.jpg", b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< >>\nendobj\n"),
    ):
        yield name, data, REFUSED
    yield "a png.jpg", files["png"], READ
    yield "a jpg.png", files["jpg"], READ
    yield "a webp.jpg", files["webp"], READ
    yield "a gif.jpeg", files["gif"], READ


def _claims(files):
    """Yield files that claim sizes which they do not have."""
    for suffix in ("jpg", "progressive.jpg"):
        yield f"huge.{suffix}", _jpeg_size(files[suffix], 65500, 65500), REFUSED
        yield f"large.{suffix}", _jpeg_size(files[suffix], 12000, 12000), REFUSED
        yield f"none.{suffix}", _jpeg_size(files[suffix], 0, 0), REFUSED
    yield "huge.png", _png_size(files["png"], 60000, 60000), REFUSED
    yield "large.png", _png_size(files["png"], 12000, 12000), REFUSED
    yield "taller.png", _png_size(files["png"], 200, 96), REFUSED
    yield "none.png", _png_size(files["png"], 0, 0), REFUSED
    yield "huge.bmp", files["bmp"][:18] + struct.pack("<ii", 50000, 50000) + files["bmp"][26:], REFUSED
    yield "huge.gif", files["gif"][:6] + b"\xff\xff\xff\xff" + files["gif"][10:], REFUSED


def _headers(files):
    """Yield JPEGs with nonsense in segments that a decoder may pass over."""
    data = files["jpg"]
    yield "exif.jpg", _insert(data, b"\xff\xe1", b"Exif\0\0" + bytes(range(256))), READ
    yield (
        "exif loop.jpg",
        _insert(data, b"\xff\xe1", b"Exif\0\0II*\0\x08\0\0\0\1\0" + b"\xff" * 12 + b"\x08\0\0\0"),
        READ,
    )
    yield "exif cut.jpg", _insert(data, b"\xff\xe1", b"Exif\0\0MM\0*\0\0\xff\xff"), READ
    yield "comment.jpg", _insert(data, b"\xff\xfe", b"\xff\xd9" * 50), READ
    yield "tail.jpg", data + b"left behind" * 9, READ
    yield "no tables.jpg", data.replace(b"\xff\xdb", b"\xff\xfe", 2), REFUSED
    yield "long segment.jpg", data[:2] + b"\xff\xe1\xff\xff" + data[2:], REFUSED


def damages(photo=None, seed=0):
    """Return (name, content, verdict) of a hundred images; names are unique file names.

    Args:
        photo: picture [H, W, 3] uint8 to make them from; a drawn one by default.
        seed: of where bits are flipped and files are cut.
    """
    rng = np.random.default_rng(seed)
    files = good(photo)
    image = picture(72, 96, 3) if photo is None else photo
    found = [*_unusual(image), *_not_images(files), *_claims(files), *_headers(files)]
    for suffix, data in files.items():
        for share in sorted(rng.uniform(0.02, 0.98, 4)):
            found.append((f"cut at {share:.3f}.{suffix}", _cut(data, share), REFUSED))
    for suffix in ("jpg", "progressive.jpg", "png", "webp"):
        data = files[suffix]
        start = int(rng.integers(len(data) // 4, len(data) // 2))
        found.append((f"hole.{suffix}", _fill(data, start, start + len(data) // 4, 0), EITHER))
    kinds = list(files)
    while len(found) < 100:
        suffix = kinds[len(found) % len(kinds)]
        found.append((f"bits {len(found)}.{suffix}", _flip_bits(files[suffix], 2, 200, 3, rng), EITHER))
    return found
