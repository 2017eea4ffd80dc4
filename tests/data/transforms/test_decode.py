"""Image files, whole and broken."""

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from ppcls.data.transforms import build_transforms
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import ConfigError, DataError
from tests.helpers.images import encode, picture
from tests.helpers.recipes import ROOT


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm"])
def test_lossless_formats_give_the_pixels_in_rgb(suffix):
    rgb = picture()
    np.testing.assert_array_equal(decode_image(encode(rgb, suffix)), rgb)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_come_close(suffix):
    rgb = picture()
    assert np.abs(decode_image(encode(rgb, suffix)).astype(int) - rgb).mean() < 5


def test_grayscale_becomes_three_equal_channels():
    gray = picture()[:, :, 0]
    np.testing.assert_array_equal(decode_image(encode(gray, ".png")), np.repeat(gray[:, :, None], 3, axis=2))


def test_alpha_is_dropped():
    rgb = picture()
    rgba = np.dstack([rgb[:, :, ::-1], np.full(rgb.shape[:2], 7, np.uint8)])
    np.testing.assert_array_equal(decode_image(encode(rgba, ".png")), rgb)


def test_sixteen_bits_become_eight():
    rgb = picture()
    np.testing.assert_array_equal(decode_image(encode(rgb.astype(np.uint16) * 257, ".png")), rgb)


def with_orientation(jpeg, value):
    """Return the JPEG with an EXIF block that holds nothing but the orientation."""
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, value, 0, 0)
    block = b"Exif\0\0" + tiff
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


@pytest.mark.parametrize("value, turn", [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(value, turn):
    jpeg = encode(picture(), ".jpg")
    np.testing.assert_array_equal(decode_image(with_orientation(jpeg, value)), np.rot90(decode_image(jpeg), turn))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.97])
def test_cut_off_files_are_found(suffix, keep):
    data = encode(picture(), suffix)
    with pytest.raises(DataError, match=r"truncated|cut off|cannot be decoded"):
        decode_image(data[: int(len(data) * keep)])


def test_end_marker_of_a_thumbnail_is_not_the_end():
    jpeg = encode(picture(200, 300), ".jpg")
    thumbnail = encode(picture(), ".jpg")
    assert len(thumbnail) < 60_000
    block = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    whole = jpeg[:2] + block + jpeg[2:]
    np.testing.assert_array_equal(decode_image(whole), decode_image(jpeg))
    with pytest.raises(DataError, match="truncated: its end marker is missing"):
        decode_image(whole[:-100])


def test_bytes_after_the_end_are_harmless():
    jpeg, png = encode(picture(), ".jpg"), encode(picture(), ".png")
    np.testing.assert_array_equal(decode_image(jpeg + b"\0" * 99), decode_image(jpeg))
    np.testing.assert_array_equal(decode_image(png + b"\0" * 99), decode_image(png))


def test_damaged_png_is_found():
    data = bytearray(encode(picture(), ".png"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(DataError, match="PNG is damaged: wrong checksum in chunk 'IDAT'"):
        decode_image(bytes(data))


def test_empty_and_foreign_files_say_what_they_are():
    with pytest.raises(DataError, match="empty"):
        decode_image(b"")
    with pytest.raises(DataError, match="not an image: text, 'hello there'"):
        decode_image(b"hello there")
    with pytest.raises(DataError, match="web page"):
        decode_image(b"\n<!DOCTYPE html><html>404</html>")
    with pytest.raises(DataError, match="cannot be decoded"):
        decode_image(bytes(range(256)) * 4)


def png_claiming(width, height):
    def chunk(name, content):
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_huge_claim_allocates_nothing():
    code = """
import resource, sys
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_image(sys.stdin.buffer.read())
except DataError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    for width, height in ((60_000, 60_000), (20_000, 20_000)):  # above and below OpenCV's own limit
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=png_claiming(width, height),
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        message, grown = done.stdout.decode().splitlines()
        assert f"{width} x {height}, more than 178956970 pixels" in message
        assert int(grown) < 50_000  # KiB
        assert done.stderr == b""


def progressive():
    """Return a progressive JPEG, which has several scans."""
    return cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()


def progressive_with(scans):
    """Return a progressive JPEG that has so many scans: its last one again and again."""
    jpeg = progressive()
    last = jpeg[jpeg.rindex(b"\xff\xda") : -2]
    return jpeg[:-2] + last * (scans - jpeg.count(b"\xff\xda")) + jpeg[-2:]


def test_scans_are_limited_and_only_those_of_the_picture_count():
    most = progressive_with(100)
    plain = decode_image(progressive())
    for behind in (b"", b"\xff\xda" * 500, progressive_with(200)):
        assert decode_image(most + behind).shape == plain.shape
    comment = b"\xff\xfe" + struct.pack(">H", 1002) + b"\xff\xda" * 500
    assert decode_image(most[:2] + comment + most[2:-2] + comment + most[-2:]).shape == plain.shape
    with pytest.raises(DataError, match="more than 100 scans"):
        decode_image(progressive_with(101))


@pytest.mark.parametrize("marker", [b"\xff\xd0", b"\xff\xff\x01", b"\xff\xe0\0\2"])
def test_markers_are_limited(marker):
    jpeg = encode(picture(), ".jpg")
    assert decode_image(jpeg[:2] + b"\xff\xe0\0\2" * 1000 + b"\xff" * 9 + jpeg[2:]).shape == picture().shape
    with pytest.raises(DataError, match="more than 20000 markers"):
        decode_image(jpeg[:2] + marker * 20_000 + jpeg[2:])


def test_markers_between_scans_are_limited():
    comment = b"\xff\xfe\0\4\xff\xda"
    with pytest.raises(DataError, match="more than 20000 markers"):
        decode_image(progressive()[:-2] + comment * 20_000 + progressive()[-2:])


def tiff(*tags):
    """Return a TIFF's header and directory with tags (number, type, value)."""
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([(256, 4, 13000), (256, 4, 1), (257, 4, 1)], "tag 256 twice"),
        ([(256, 3, 10), (257, 3, 10), (322, 3, 16000), (323, 3, 16000)], "tiles of 16000 x 16000 for a picture of 10"),
        ([(256, 3, 10), (257, 3, 10), (258, 3, 8), (277, 3, 60000)], "60000 samples of 8 bits"),
        ([(256, 2, 10), (257, 3, 10)], "tag 256 is of type 2"),
    ],
)
def test_tiffs_that_claim_one_size_and_take_another_are_refused(tags, message):
    with pytest.raises(DataError, match=message):
        decode_image(tiff(*tags))


def test_tiles_larger_than_a_small_picture_are_read():
    image = np.zeros((256, 256), np.uint8)
    image[:10, :10] = 200
    tags = [
        (256, 3, 10),
        (257, 3, 10),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (277, 3, 1),
        (322, 3, 256),
        (323, 3, 256),
    ]
    start = len(tiff(*tags, (324, 4, 0), (325, 4, 0)))
    data = tiff(*tags, (324, 4, start), (325, 4, image.size)) + image.tobytes()
    np.testing.assert_array_equal(decode_image(data), np.full((10, 10, 3), 200))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tiff", ".gif", ".ppm"])
def test_max_pixels_holds_for_every_format(suffix, rng):
    data = encode(picture(40, 60), suffix)
    assert build_transforms([{"DecodeImage": {"max_pixels": 2400}}])(data, rng).shape == (40, 60, 3)
    with pytest.raises(DataError, match="60 x 40, more than 2399 pixels"):
        build_transforms([{"DecodeImage": {"max_pixels": 2399}}])(data, rng)


def test_opencv_stays_quiet_about_broken_files():
    code = """
import sys
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
try:
    decode_image(sys.stdin.buffer.read())
    print("decoded")
except DataError:
    print("refused")
"""
    for suffix in (".jpg", ".png", ".tiff", ".gif", ".webp", ".bmp", ".jp2"):
        data = encode(picture(), suffix)
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=data[: len(data) * 2 // 3],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert (done.stdout, done.stderr) == (b"refused\n", b""), suffix


def test_decode_image_options(rng):
    rgb = picture()
    data = encode(rgb, ".png")
    np.testing.assert_array_equal(build_transforms([{"DecodeImage": {"to_rgb": False}}])(data, rng), rgb[:, :, ::-1])
    first = build_transforms([{"DecodeImage": {"channel_first": True}}])(data, rng)
    np.testing.assert_array_equal(first, rgb.transpose(2, 0, 1))
    np.testing.assert_array_equal(build_transforms([{"DecodeImage": None}])(np.frombuffer(data, np.uint8), rng), rgb)
    np.testing.assert_array_equal(build_transforms([{"DecodeImage": None}])(rgb, rng), rgb)
    with pytest.raises(ConfigError, match=r"transform_ops\[0\].DecodeImage: backend: must be one of 'cv2', 'pil'"):
        build_transforms([{"DecodeImage": {"backend": "PIL"}}])


def test_real_photos_decode(shared):
    files = sorted((shared / "data" / "photos").glob("*.JPEG"))[:40]
    assert files
    for file in files:
        image = decode_image(file.read_bytes())
        expected = cv2.imread(str(file))
        np.testing.assert_array_equal(image, expected[:, :, ::-1], err_msg=file.name)
