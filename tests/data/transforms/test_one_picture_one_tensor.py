"""The same pixels of a picture, whatever decodes it and however it comes in."""

import io

import numpy as np
import pytest

from ppcls.data.transforms import build_transforms
from ppcls.data.transforms.decode import decode_image
from ppcls.errors import DataError
from ppcls.inference import inputs

pillow = pytest.importorskip("PIL.Image")

FORMATS = {
    "JPEG": {"quality": 100, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "AVIF": {"quality": 100, "subsampling": "4:4:4"},
}
TURNS = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: np.transpose(image, (1, 0, 2)),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(np.transpose(image, (1, 0, 2)), 2),
    8: np.rot90,
}


def picture():
    """Return a picture [16, 24, 3] that no turn and no mirror leaves as it is."""
    corner = np.zeros((4, 6, 3), np.uint8)
    corner[0, 0], corner[0, 1], corner[3, 5] = 255, (200, 20, 20), (20, 20, 200)
    return np.kron(corner, np.ones((4, 4, 1), np.uint8))


def encoded(image, kind, orientation=None, **options):
    options = {**FORMATS[kind], **options}
    if orientation is not None:
        exif = pillow.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif
    file = io.BytesIO()
    try:
        pillow.fromarray(image).save(file, kind, **options)
    except (KeyError, OSError):
        pytest.skip(f"this Pillow writes no {kind}")
    return file.getvalue()


def every_way(data, path, channels=3):
    """Yield (description, pixels) of a file for each way in and each backend."""
    path.write_bytes(data)
    for backend in ("cv2", "pil"):
        decode = build_transforms([{"DecodeImage": {"backend": backend, "channels": channels}}])
        ways = {
            "path": path,
            "bytes": data,
            "file": io.BytesIO(data),
            "Pillow": pillow.open(io.BytesIO(data)),
            "encoded array": np.frombuffer(data, np.uint8),
        }
        for name, image in ways.items():
            (source,) = inputs.collect([image])
            pixels = decode(source.read(), np.random.default_rng(0))
            yield f"{name}, {backend}", pixels
            if name == "Pillow":
                continue
            (copied,) = inputs.collect([pixels if channels > 1 else pixels[:, :, 0]])
            yield f"array of {name}, {backend}", decode(copied.read(), np.random.default_rng(0))


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("orientation", [None, *TURNS])
def test_orientation_is_applied_on_every_way_in(tmp_path, kind, orientation):
    expected = TURNS[orientation or 1](picture()).astype(int)
    for way, pixels in every_way(encoded(picture(), kind, orientation), tmp_path / "picture"):
        assert pixels.shape == expected.shape, way
        assert np.abs(pixels - expected).mean() < 3, way


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P"])
def test_all_ways_give_the_same_pixels(tmp_path, kind, mode, channels):
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (3, 4, 4)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    if kind == "JPEG" and mode in ("LA", "RGBA", "P"):
        pytest.skip("JPEG has no such mode")
    image = np.asarray(pillow.fromarray(smooth).convert(mode)) if mode != "P" else smooth[:, :, 0]
    data = encoded(image, kind, 6 if kind != "TIFF" else None)
    ways = dict(every_way(data, tmp_path / "picture", channels))
    first = ways.pop("path, cv2")
    assert first.shape[2] == channels
    for way, pixels in ways.items():
        limit = 2 if kind == "JPEG" else 0  # decoders of JPEGs round differently
        assert np.abs(pixels.astype(int) - first).max() <= limit, way
    if channels == 4 and "A" in mode and kind != "JPEG":
        assert len(np.unique(first[:, :, 3])) > 2
    elif channels == 4:
        assert (first[:, :, 3] == 255).all()


def test_exif_is_found_behind_other_segments_and_xmp_counts_where_there_is_none():
    data = encoded(picture(), "JPEG", 6)
    comment = b"\xff\xfe\0\x06abcd"
    np.testing.assert_array_equal(decode_image(data[:2] + comment + data[2:]), decode_image(data))
    plain = encoded(picture(), "JPEG")
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'
    with_xmp = plain[:2] + b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp + plain[2:]
    np.testing.assert_array_equal(decode_image(with_xmp), np.rot90(decode_image(plain), -1))


def test_damaged_exif_turns_nothing():
    data = bytearray(encoded(picture(), "JPEG", 6))
    start = data.index(b"Exif\0\0") + 6
    data[start + 4 : start + 8] = b"\xff\xff\xff\xff"  # the offset of the directory
    np.testing.assert_array_equal(decode_image(bytes(data)), decode_image(encoded(picture(), "JPEG")))


@pytest.mark.parametrize("backend", ["cv2", "pil"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_of_16_bits_the_upper_8_are_kept(shape, backend, suffix):
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(0).integers(0, 65536, shape).astype(np.uint16)
    data = cv2.imencode(suffix, values)[1].tobytes()
    expected = (values >> 8).astype(np.uint8)
    expected = expected[:, :, ::-1] if len(shape) == 3 else np.repeat(expected[:, :, None], 3, 2)
    np.testing.assert_array_equal(decode_image(data, backend=backend), expected)
    if len(shape) == 2:
        (source,) = inputs.collect([pillow.open(io.BytesIO(data))])
        np.testing.assert_array_equal(source.read(), expected)


@pytest.mark.parametrize("backend", ["cv2", "pil"])
@pytest.mark.parametrize(("dtype", "message"), [(np.int32, "32-bit signed integers"), (np.float32, "32-bit floats")])
def test_tiffs_of_unknown_range_are_refused(dtype, message, backend):
    file = io.BytesIO()
    image = pillow.fromarray(np.full((5, 7), 70, dtype))
    image.save(file, "TIFF")
    with pytest.raises(DataError, match=f"a TIFF of {message}: which value is white is not known; save it with 8 or"):
        decode_image(file.getvalue(), backend=backend)
    with pytest.raises(DataError, match="which value is white"):
        inputs.collect([image])[0].read()


@pytest.mark.parametrize("channels", [3, 4])
def test_transparent_gifs_and_16_bit_graymaps(tmp_path, channels):
    rng = np.random.default_rng(0)
    smooth = rng.integers(0, 256, (3, 4, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    gif, pgm = io.BytesIO(), io.BytesIO()
    pillow.fromarray(smooth).convert("P").save(gif, "GIF", transparency=int(rng.integers(256)))
    pillow.fromarray(rng.integers(0, 65536, (5, 7)).astype(np.uint16)).save(pgm, "PPM")
    for data in (gif.getvalue(), pgm.getvalue()):
        ways = dict(every_way(data, tmp_path / "picture", channels))
        first = ways.pop("path, cv2")
        for way, pixels in ways.items():
            np.testing.assert_array_equal(pixels, first, way)


def graymap(kind, white, values, width=2):
    """Return a PGM or PPM, plain or binary."""
    channels = 3 if kind in ("P3", "P6") else 1
    header = f"{kind}\n# white is next\n{width} {len(values) // width // channels} # a comment\n{white}\n".encode()
    if kind in ("P2", "P3"):
        return header + "\n".join(map(str, values)).encode()
    return header + np.array(values, ">u2" if white > 255 else np.uint8).tobytes()


@pytest.mark.parametrize("kind", ["P2", "P3", "P5", "P6"])
@pytest.mark.parametrize(
    ("white", "values", "expected"),
    [
        (1, [0, 1], [0, 255]),
        (15, [8, 15], [136, 255]),
        (100, [50, 20], [128, 51]),
        (255, [50, 255], [50, 255]),
        (1023, [512, 1023], [128, 255]),
        (65535, [32900, 300], [128, 1]),
    ],
)
def test_the_header_of_a_graymap_tells_what_is_white(tmp_path, kind, white, values, expected):
    values, expected = ([*([first] * 3), *([second] * 3)] for first, second in (values, expected))
    for way, pixels in every_way(graymap(kind, white, values), tmp_path / "picture"):
        if kind in ("P3", "P6"):
            assert pixels.tolist() == [[expected[:3], expected[3:]]], way
        else:
            assert pixels[:, :, 0].ravel().tolist() == expected, way


@pytest.mark.parametrize("backend", ["cv2", "pil"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (graymap("P5", 100, [101, 0]), "it has the value 101, and its largest is 100"),
        (graymap("P5", 255, [1, 0])[:-1], "the PNM is truncated: its pixels end at byte"),
        (graymap("P2", 100, [5, 0])[:-2], "must have 2 whole numbers"),
        (graymap("P2", 100, [5, "x"]), "must have 2 whole numbers"),
        (graymap("P5", 65536, [1, 0]), "its largest value is 65536, and must be from 1 to 65535"),
        (b"P5 what is this", "the PNM is damaged: its header"),
        (
            b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 1\nMAXVAL 15\nENDHDR\n\x0f",
            "a PAM whose largest value is 15; save it with 255",
        ),
        (b"Pf\n1 1\n-1.0\n" + np.float32(0.5).tobytes(), "a PFM has floats: which value is white is not known"),
    ],
)
def test_graymaps_that_are_refused(data, message, backend):
    with pytest.raises(DataError, match=message):
        decode_image(data, backend=backend)
