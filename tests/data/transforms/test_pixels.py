"""Pixels of either backend against Pillow and the published definitions."""

import io
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from ppcls.data.transforms import build_transforms, pixels, warp
from ppcls.data.transforms.operations import OPERATIONS
from ppcls.data.transforms.warp import AffineSampler
from ppcls.errors import DataError
from tests.helpers.images import PICTURES
from tests.helpers.recipes import ROOT


@pytest.mark.parametrize("image", PICTURES, ids=lambda image: "x".join(map(str, image.shape)))
def test_colours_are_pillows_bit_for_bit(image):
    picture = Image.fromarray(image)
    pairs = [
        (pixels.invert(image), ImageOps.invert(picture)),
        (pixels.autocontrast(image), ImageOps.autocontrast(picture)),
        (pixels.equalize(image), ImageOps.equalize(picture)),
        (pixels.grayscale(image), picture.convert("L")),
    ]
    pairs += [(pixels.posterize(image, bits), ImageOps.posterize(picture, bits)) for bits in range(1, 9)]
    pairs += [(pixels.solarize(image, at), ImageOps.solarize(picture, at)) for at in (0, 26.5, 128, 255, 256)]
    for factor in (0.0, 0.1, 0.37, 0.5, 0.9, 1.0, 1.3, 1.9, 3.0):
        pairs += [
            (pixels.brightness(image, factor), ImageEnhance.Brightness(picture).enhance(factor)),
            (pixels.color(image, factor), ImageEnhance.Color(picture).enhance(factor)),
            (pixels.contrast(image, factor), ImageEnhance.Contrast(picture).enhance(factor)),
            (pixels.sharpness(image, factor), ImageEnhance.Sharpness(picture).enhance(factor)),
        ]
    for index, (ours, theirs) in enumerate(pairs):
        np.testing.assert_array_equal(ours, np.asarray(theirs), err_msg=str(index))


def test_posterize_to_no_bits_and_solarize_add():
    image = PICTURES[0]
    assert not pixels.posterize(image, 0).any()
    expected = np.where(image < 128, np.minimum(255, image.astype(int) + 55), image)
    np.testing.assert_array_equal(pixels.solarize_add(image, 55), expected)


@pytest.mark.parametrize("kind", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("matrix", [(1, 0.2, 0, 0, 1, 0), (1, 0, 0, -0.3, 1, 0), (1, 0, 13.7, 0, 1, 0), "rotate"])
def test_moved_pixels_by_either_library(kind, matrix):
    """Pillow's exactly with pil; OpenCV's differ by interpolation alone, inside of the image."""
    image, rng = PICTURES[5], np.random.default_rng(0)
    picture, number = Image.fromarray(image), {"nearest": 0, "bilinear": 2, "bicubic": 3}[kind]
    ours = {}
    for backend in warp.BACKENDS:
        sampler = AffineSampler(kind, (124, 116, 104), backend)
        ours[backend] = sampler.rotate(image, 17, rng) if matrix == "rotate" else sampler.affine(image, matrix, rng)
    if matrix == "rotate":
        theirs = picture.rotate(17, number, fillcolor=(124, 116, 104))
    else:
        theirs = picture.transform(picture.size, Image.AFFINE, matrix, number, fillcolor=(124, 116, 104))
    np.testing.assert_array_equal(ours["pil"], np.asarray(theirs))
    difference = np.abs(ours["cv2"].astype(int) - ours["pil"])
    assert np.median(difference) <= 2
    assert np.mean(difference > 16) < 0.12  # along edges, where the two decide otherwise what is outside


def test_directions():
    image = np.zeros((20, 20, 3), np.uint8)
    image[10, 10] = 255
    rng, sampler = np.random.default_rng(0), AffineSampler("nearest")
    at = lambda name, value: tuple(np.argwhere(OPERATIONS[name](image, value, sampler, rng)[:, :, 0])[0])  # noqa: E731
    assert at("TranslateX", 3) == (10, 7)
    assert at("TranslateY", 3) == (7, 10)
    assert at("TranslateXRel", -0.1) == (10, 12)
    assert at("Rotate", 90) == (9, 10)
    assert at("ShearX", 0.2) == (10, 8)
    assert at("ShearY", 0.2) == (8, 10)


def test_pillow_is_needed_for_pil_only(tmp_path):
    """In a process that cannot import Pillow, the message says what to install, and cv2 works."""
    (tmp_path / "PIL.py").write_text("raise ImportError('none here')\n")
    code = """
import numpy as np
from ppcls.data.transforms import build_transforms
from ppcls.errors import ConfigError
image = np.zeros((9, 9, 3), np.uint8)
build_transforms([{"TimmAutoAugment": None}, {"ResizeImage": {"size": 4}}])(image, np.random.default_rng(0))
for op in ({"ResizeImage": {"size": 4, "backend": "pil"}}, {"TimmAutoAugment": {"backend": "pil"}}):
    try:
        build_transforms([op])
    except ConfigError as error:
        print(error)
"""
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.count("backend: 'pil' needs Pillow: pip install pillow") == 2


# The largest mean difference of cv2's pixels from pil's on a smooth picture, inside of the image.
TOLERANCE = {"nearest": 0.3, "bilinear": 0.6, "bicubic": 0.6}


@pytest.mark.parametrize("kind", list(TOLERANCE))
@pytest.mark.parametrize(
    ("name", "value"),
    [("ShearX", 0.21), ("ShearY", -0.29), ("TranslateXRel", 0.21), ("TranslateYRel", -0.4), ("Rotate", 17)],
)
def test_cv2_stays_close_to_pil(name, value, kind):
    y, x = np.mgrid[0:90, 0:120]
    image = np.stack([x * 2, y * 2, 128 + 100 * np.sin(x / 9) * np.cos(y / 11)], axis=-1).astype(np.uint8)
    rng = np.random.default_rng(0)
    ours, pil, inside = (
        OPERATIONS[name](picture, value, AffineSampler(kind, (0, 0, 0), backend), rng).astype(int)
        for backend, picture in (("cv2", image), ("pil", image), ("pil", np.full_like(image, 255)))
    )
    # Away from the edge, where one of the two may see the fill colour.
    inside = cv2.erode((inside[:, :, 0] == 255).astype(np.uint8), np.ones((7, 7)), borderValue=0).astype(bool)
    difference = np.abs(ours - pil)[inside]
    assert inside.mean() > 0.3
    assert difference.mean() < TOLERANCE[kind]
    assert difference.max() <= (12 if kind == "nearest" else 3)  # a pixel further, the picture differs by 11 at most


@pytest.mark.parametrize("shift", [-0.5, -0.1, 0.05, 0.3])
def test_hue_and_blur_by_either_library(shift):
    image = PICTURES[6]
    difference = np.abs(warp.shift_hue(image, shift, "cv2").astype(int) - warp.shift_hue(image, shift, "pil"))
    assert difference.max() <= 13
    assert difference.mean() < 1.5
    radius = 1 + shift
    difference = np.abs(warp.blur(image, radius, "cv2").astype(int) - warp.blur(image, radius, "pil"))
    assert difference.mean() < 1.5


def test_hue_turns_red_to_green():
    red = np.zeros((2, 2, 3), np.uint8)
    red[..., 0] = 255
    for backend in warp.BACKENDS:
        turned = warp.shift_hue(red, 1 / 3, backend)[0, 0]
        assert turned[1] == 255
        assert max(turned[0], turned[2]) <= 5


def test_the_pil_backend_is_pillow_and_torchvision():
    rng = np.random.default_rng(0)
    image = np.random.default_rng(1).integers(0, 256, (333, 500, 3), np.uint8)
    picture = Image.fromarray(image)
    resize = build_transforms([{"ResizeImage": {"resize_short": 248, "interpolation": "bicubic", "backend": "pil"}}])
    # The long side is cut off to whole pixels: 248 * 500 / 333 = 372.37.
    resized = picture.resize((372, 248), Image.BICUBIC)
    np.testing.assert_array_equal(resize(image, rng), np.asarray(resized))
    crop = build_transforms([{"CropImage": {"size": 225, "backend": "pil"}}])
    # Halves go to the even side: 147 / 2 to 74, 23 / 2 to 12.
    np.testing.assert_array_equal(crop(resize(image, rng), rng), np.asarray(resized.crop((74, 12, 299, 237))))
    transform = {"RandCropImage": {"size": 64, "interpolation": "bicubic", "backend": "pil"}}
    by_name = build_transforms([transform])
    left, top, width, height = by_name.ops[0].box(500, 333, np.random.default_rng(3))
    expected = picture.crop((left, top, left + width, top + height)).resize((64, 64), Image.BICUBIC)
    np.testing.assert_array_equal(by_name(image, np.random.default_rng(3)), np.asarray(expected))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_files_decoded_by_pillow(kind):
    file = io.BytesIO()
    Image.fromarray(PICTURES[5]).save(file, kind)
    decode = build_transforms([{"DecodeImage": {"backend": "pil"}}])
    expected = np.asarray(Image.open(file).convert("RGB"))
    np.testing.assert_array_equal(decode(file.getvalue(), np.random.default_rng(0)), expected)
    with pytest.raises(DataError):
        decode(file.getvalue()[: len(file.getvalue()) // 3], np.random.default_rng(0))


def test_grey_palette_alpha_and_16_bit_files_by_pillow():
    decode = build_transforms([{"DecodeImage": {"backend": "pil"}}])
    for mode in ("L", "P", "RGBA", "LA", "1", "CMYK", "I;16"):
        file = io.BytesIO()
        if mode == "I;16":
            Image.fromarray(np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16)).save(file, "PNG")
        else:
            Image.fromarray(PICTURES[5]).convert(mode).save(file, "JPEG" if mode == "CMYK" else "PNG")
        image = decode(file.getvalue(), np.random.default_rng(0))
        assert image.ndim == 3
        assert image.shape[2] == 3
        if mode == "I;16":
            np.testing.assert_array_equal(image[:, :, 0].ravel(), np.arange(256))
