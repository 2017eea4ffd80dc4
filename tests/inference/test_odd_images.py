"""Images that are broken, and images that are only unusual."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from ppcls import Predictor
from tests.helpers.command_line import run_python
from tests.helpers.exports import assert_same_answers


def png(width, height, rows=b"", extra=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def text_bomb():
    """Return a small PNG whose comment is a quarter of a gigabyte when it is unpacked."""
    packer = zlib.compressobj(9)
    zeros = bytes(2**24)
    packed = b"".join(packer.compress(zeros) for _ in range(16)) + packer.flush()
    content = b"zTXt" + b"Comment\0\0" + packed
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png(16, 16, (b"\0" + bytes(48)) * 16, chunk)


BROKEN = {
    "empty.jpg": (b"", "the file is empty"),
    "cut.png": (png(16, 16)[:40], "truncated"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "a web page or XML"),
    "drawing.jpg": (b'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"/>', "a web page or XML"),
    "drawing2.jpg": (b'<?xml version="1.0"?>\n<svg width="16" height="16"/>', "a web page or XML"),
    "text.png": (b"hello there", "not an image: text"),
    "huge.png": (png(30_000, 30_000), "30000 x 30000, more than"),
    "zip.jpg": (b"PK\x03\x04" + bytes(range(256)) * 4, "cannot be decoded"),
    "empty_pixels.png": (png(16, 16), "cannot be decoded"),
}


def test_broken_images_are_reported_and_the_others_answered(predictor, expected, digits, tmp_path):
    paths = sorted((digits / "val").iterdir())[: len(BROKEN)]
    images = []
    for (name, (content, _)), path in zip(BROKEN.items(), paths):
        (tmp_path / name).write_bytes(content)
        images += [tmp_path / name, path]
    answers = predictor.predict(images)
    assert_same_answers(answers[1::2], expected[: len(BROKEN)])
    for answer, (name, (_, message)) in zip(answers[::2], BROKEN.items()):
        assert set(answer) == {"file_name", "error"}
        assert answer["file_name"].endswith(name)
        assert message in answer["error"], name


def test_odd_but_whole_images_are_answered(models, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    predictor = Predictor(models / "inference", "onnx")
    rng = np.random.default_rng(0)
    small = np.kron(rng.integers(0, 256, (4, 4, 3)), np.ones((4, 4, 1))).astype(np.uint8)
    image, other = pillow.fromarray(small), pillow.fromarray(255 - small)
    image.save(tmp_path / "plain.png")
    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=100, subsampling=0)
    image.save(tmp_path / "animated.gif", save_all=True, append_images=[other] * 3)
    cv2.imwrite(str(tmp_path / "sixteen.png"), small[:, :, ::-1].astype(np.uint16) * 257)
    answers = {Path(a["file_name"]).name: a for a in predictor.predict(tmp_path)}
    plain = answers["plain.png"]["scores"]
    assert answers["sixteen.png"]["scores"] == plain
    np.testing.assert_allclose(answers["animated.gif"]["scores"], plain, atol=0.05)  # of 256 colours
    np.testing.assert_allclose(answers["cmyk.jpg"]["scores"], plain, atol=0.05)
    assert answers["cmyk.jpg"]["class_ids"][0] == answers["plain.png"]["class_ids"][0]


def test_an_unpacked_comment_does_not_fill_memory(models, tmp_path):
    (tmp_path / "bomb.png").write_bytes(text_bomb())
    code = """
import resource, sys
from ppcls import Predictor
predictor = Predictor(sys.argv[1], "onnx")
predictor.predict(sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert "class_ids" in predictor.predict(sys.argv[2])[0]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""
    (tmp_path / "plain.png").write_bytes(png(16, 16, (b"\0" + bytes(48)) * 16))
    paths = [models / "inference", tmp_path / "bomb.png", tmp_path / "plain.png"]
    assert int(run_python(code, *paths).stdout) < 100  # MiB
