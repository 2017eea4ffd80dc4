"""Transforms against their definitions."""

import cv2
import numpy as np
import pytest

from ppcls.data.transforms import TRANSFORMS, build_transforms
from ppcls.data.transforms.crops import RandCropImage
from ppcls.errors import ConfigError, DataError
from tests.data.sections import OPS
from tests.helpers.images import encode, picture

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def apply(name, image, rng=None, **arguments):
    return build_transforms([{name: arguments}])(image, rng or np.random.default_rng(0))


@pytest.mark.parametrize(
    "size, resize_short, expected",
    [
        (32, None, (32, 32)),
        ([50, 20], None, (50, 20)),  # width, height
        (None, 32, (48, 32)),
        (None, 33, (50, 33)),  # 49.5 is rounded
    ],
)
def test_resize(size, resize_short, expected):
    image = picture(40, 60)
    result = apply("ResizeImage", image, size=size, resize_short=resize_short)
    np.testing.assert_array_equal(result, cv2.resize(image, expected, interpolation=cv2.INTER_LINEAR))


def test_resize_interpolations():
    image = picture(40, 60)
    flags = {"nearest": cv2.INTER_NEAREST, "bicubic": cv2.INTER_CUBIC, "area": cv2.INTER_AREA}
    for name, flag in {**flags, "lanczos": cv2.INTER_LANCZOS4, "bilinear": cv2.INTER_LINEAR}.items():
        result = apply("ResizeImage", image, size=17, interpolation=name)
        np.testing.assert_array_equal(result, cv2.resize(image, (17, 17), interpolation=flag))
    both = {
        apply("ResizeImage", image, np.random.default_rng(i), size=17, interpolation="random").tobytes()
        for i in range(20)
    }
    kinds = {cv2.resize(image, (17, 17), interpolation=f).tobytes() for f in (cv2.INTER_LINEAR, cv2.INTER_CUBIC)}
    assert both == kinds


def test_thin_images_keep_a_pixel():
    assert apply("ResizeImage", np.zeros((3, 4000, 3), np.uint8), resize_short=1).shape == (1, 1333, 3)


@pytest.mark.parametrize("backend", ["cv2", "pil"])
@pytest.mark.parametrize("shape", [(1, 65535, 3), (65535, 1, 3)])
def test_thin_images_are_not_made_enormous(shape, backend):
    if backend == "pil":
        pytest.importorskip("PIL")
    image = np.zeros(shape, np.uint8)
    with pytest.raises(DataError, match=r"the image is (65535 x 1|1 x 65535) and would be resized to .*; crop it"):
        apply("ResizeImage", image, resize_short=256, backend=backend)
    assert apply("ResizeImage", image, size=8, backend=backend).shape == (8, 8, 3)


def test_centre_crop():
    image = picture(40, 61)
    np.testing.assert_array_equal(apply("CropImage", image, size=[20, 10]), image[15:25, 20:40])
    with pytest.raises(DataError, match="CropImage: the image is 61 x 40, smaller than the crop of 41 x 41"):
        apply("CropImage", image, size=41)


def test_random_resized_crop_follows_its_definition():
    crop = RandCropImage(size=32)
    rng = np.random.default_rng(0)
    width, height = 640, 480
    boxes = np.array([crop.box(width, height, rng) for _ in range(4000)])
    left, top, w, h = boxes.T
    assert (left >= 0).all() and (top >= 0).all()
    assert (left + w <= width).all() and (top + h <= height).all()
    area, ratio = w * h / (width * height), w / h
    assert 0.078 < area.min() < 0.09 and area.max() <= 1
    assert 0.74 < ratio.min() < 0.76 and 1.32 < ratio.max() < 1.35
    # Below 0.4 of the area nothing is refused for not fitting, so areas are uniform there and proportions log-uniform.
    small = area < 0.4
    assert abs(area[small].mean() - 0.24) < 0.01
    assert abs(np.log(ratio[small]).mean()) < 0.015
    assert abs(np.mean(np.log(ratio[small]) ** 2) - np.log(4 / 3) ** 2 / 3) < 0.003
    # Places are uniform over those where the part fits.
    assert abs(np.mean(left[small] / (width - w[small])) - 0.5) < 0.02
    assert abs(np.mean(top[small] / (height - h[small])) - 0.5) < 0.02


def test_random_resized_crop_with_even_proportions():
    rng = np.random.default_rng(0)
    boxes = np.array(
        [RandCropImage(8, (0.05, 0.2), (1, 3), use_log_aspect=False).box(900, 900, rng) for _ in range(3000)]
    )
    assert abs(np.mean(boxes[:, 2] / boxes[:, 3]) - 2) < 0.04  # the logarithm's mean would be exp(log(3) / 2) ~ 1.82


@pytest.mark.parametrize(
    "width, height, box",
    [(1000, 10, (493, 0, 13, 10)), (10, 1000, (0, 493, 10, 13)), (1, 1, (0, 0, 1, 1))],
)
def test_random_resized_crop_falls_back_to_the_centre(width, height, box):
    assert RandCropImage(size=8, scale=(0.9, 1)).box(width, height, np.random.default_rng(0)) == box


def test_random_resized_crop_resizes_what_box_says():
    image = picture(40, 60)
    left, top, w, h = RandCropImage(size=[20, 10]).box(60, 40, np.random.default_rng(3))
    expected = cv2.resize(image[top : top + h, left : left + w], (20, 10), interpolation=cv2.INTER_CUBIC)
    result = apply("RandCropImage", image, np.random.default_rng(3), size=[20, 10], interpolation="bicubic")
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("name", ["RandCropImageV2", "RandomCropImage"])
def test_random_crop_reaches_every_place_evenly(name):
    image = np.arange(1, 1 + 6 * 6, dtype=np.uint8).reshape(6, 6, 1).repeat(3, axis=2)
    transform = build_transforms([{name: {"size": 6, "padding": 1}}])
    rng = np.random.default_rng(0)
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)))
    places = {padded[y : y + 6, x : x + 6].tobytes(): (y, x) for y in range(3) for x in range(3)}
    counts = dict.fromkeys(places.values(), 0)
    for _ in range(1800):
        counts[places[transform(image, rng).tobytes()]] += 1
    assert min(counts.values()) > 140 and max(counts.values()) < 260  # 200 expected, standard deviation 13


def test_random_crop_wants_large_enough_images():
    with pytest.raises(DataError, match="RandCropImageV2: the image is 60 x 40, smaller than the crop of 50 x 50"):
        apply("RandCropImageV2", picture(), size=50)
    assert apply("RandCropImageV2", picture(), size=50, padding=5).shape == (50, 50, 3)


@pytest.mark.parametrize(
    "mode, numpy_mode", [("constant", "constant"), ("edge", "edge"), ("reflect", "reflect"), ("symmetric", "symmetric")]
)
@pytest.mark.parametrize("padding, sides", [(2, (2, 2, 2, 2)), ([1, 3], (1, 3, 1, 3)), ([1, 2, 3, 4], (1, 2, 3, 4))])
def test_pad(mode, numpy_mode, padding, sides):
    image = picture(9, 8)
    left, top, right, bottom = sides
    expected = np.pad(image, ((top, bottom), (left, right), (0, 0)), numpy_mode)
    np.testing.assert_array_equal(apply("Pad", image, padding=padding, padding_mode=mode), expected)


def test_pad_fill():
    result = apply("Pad", picture(4, 4), padding=1, fill=[1, 2, 3])
    assert result[0, 0].tolist() == [1, 2, 3]
    assert apply("Pad", picture(4, 4), padding=1, fill=9)[0, 0].tolist() == [9, 9, 9]
    with pytest.raises(DataError, match="too small to reflect"):
        apply("Pad", picture(4, 4), padding=4, padding_mode="reflect")


@pytest.mark.parametrize("code, axes", [(1, 1), (0, 0), (-1, (0, 1))])
def test_flip_code(code, axes):
    image = picture()
    np.testing.assert_array_equal(apply("RandFlipImage", image, flip_code=code, prob=1), np.flip(image, axes))
    np.testing.assert_array_equal(apply("RandFlipImage", image, flip_code=code, prob=0), image)


@pytest.mark.parametrize("name", ["RandFlipImage", "RandomHorizontalFlip"])
def test_flip_probability(name):
    image, rng = picture(), np.random.default_rng(0)
    transform = build_transforms([{name: {"prob": 0.3}}])
    flipped = np.flip(image, 1)
    count = sum(np.array_equal(transform(image, rng), flipped) for _ in range(1000))
    assert 240 < count < 360


@pytest.mark.parametrize("order", ["", "hwc", "chw"])
@pytest.mark.parametrize("scale", [None, 1 / 255, 1.0])
def test_normalize_follows_the_formula(order, scale):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    arguments = {"scale": scale, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    expected = (image * (1 / 255 if scale is None else scale) - np.array([0.1, 0.2, 0.3])) / np.array([0.5, 0.6, 0.7])
    if order == "chw":
        image, expected = image.transpose(2, 0, 1), expected.transpose(2, 0, 1)
    result = apply("NormalizeImage", image, order=order, **arguments)
    assert result.dtype == np.float32 and result.flags.c_contiguous
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_normalize_defaults_to_imagenet():
    image = picture()
    np.testing.assert_allclose(
        apply("NormalizeImage", image, order=""), (image / 255 - MEAN) / STD, rtol=1e-5, atol=1e-6
    )


def test_both_orders_give_the_model_the_same():
    image, rng = picture(), np.random.default_rng(0)
    before = build_transforms([{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}])(image, rng)
    after = build_transforms([{"ToCHWImage": None}, {"NormalizeImage": {"order": "chw"}}])(image, rng)
    np.testing.assert_array_equal(before, after)
    assert before.shape == (3, 40, 60) and before.flags.c_contiguous and before.dtype == np.float32


def test_input_is_left_alone():
    data = encode(picture(), ".png")
    image = picture()
    copy = image.copy()
    arguments = {
        "ResizeImage": {"size": 8},
        "CropImageAtRatio": {"size": 8, "pad": 2},
        "NormalizeImage": {"order": ""},
        "Normalize": {"data_format": "HWC"},
        "Pad": {"padding": 2},
        "Pad_paddle_vision": {"padding": 2},
    }
    # These two work on what NormalizeImage has just made.
    for name in set(TRANSFORMS.names()) - {"RandomErasing", "HideAndSeek"}:
        required = arguments.get(name, {"size": 8} if "Crop" in name else {})
        apply(name, image, **required)
        np.testing.assert_array_equal(image, copy, err_msg=name)
    first = build_transforms(OPS)(data, np.random.default_rng(1))
    np.testing.assert_array_equal(first, build_transforms(OPS)(data, np.random.default_rng(1)))
    assert not np.array_equal(first, build_transforms(OPS)(data, np.random.default_rng(2)))


@pytest.mark.parametrize(
    "ops, got, message",
    [
        (OPS[1:], "bytes", "RandCropImage: got an undecoded file; put DecodeImage first"),
        ([{"ToCHWImage": None}, {"CropImage": {"size": 8}}], "array", r"CropImage: got a channels-first image \[3, 40"),
        ([{"NormalizeImage": {}}], "array", "NormalizeImage: order 'chw' takes a channels-first image"),
        ([OPS[3], OPS[3]], "array", "NormalizeImage: takes uint8 pixels, got float32"),
        ([{"DecodeImage": None}], "text", "DecodeImage: takes a file's bytes or an image array, got str"),
        ([{"CropImage": {"size": 8}}], "flat", "CropImage: got an array of shape"),
    ],
)
def test_misplaced_transforms_say_what_to_do(ops, got, message, rng):
    image = {
        "bytes": encode(picture(), ".png"),
        "array": picture(),
        "text": "a.jpg",
        "flat": np.zeros((8, 8), np.uint8),
    }
    with pytest.raises(DataError, match=message):
        build_transforms(ops)(image[got], rng)


@pytest.mark.parametrize(
    "op, message",
    [
        ({"ResizeImage": {}}, "size: give either"),
        ({"ResizeImage": {"size": 8, "resize_short": 8}}, "size: give either"),
        ({"ResizeImage": {"size": 0}}, "size: must be a whole number of at least 1, not 0"),
        ({"ResizeImage": {"size": [8, 8, 8]}}, "size: must be a side or"),
        ({"ResizeImage": {"size": 8, "interpolation": "cubic"}}, "interpolation: must be one of 'nearest'"),
        ({"ResizeImage": {"size": 8, "backend": "pill"}}, "backend: must be one of 'cv2', 'pil'"),
        ({"RandCropImage": {"size": 8, "scale": [0.5, 1.5]}}, "scale: the crop cannot be larger"),
        ({"RandCropImage": {"size": 8, "scale": [0.5, 0.1]}}, "scale: must be"),
        ({"RandCropImage": {"size": 8, "ratio": 1}}, "ratio: must be"),
        ({"RandCropImageV2": {"size": 8, "padding": -1}}, "padding: must be"),
        ({"Pad": {"padding": [1, 2, 3]}}, "padding: must be"),
        ({"Pad": {"padding": 1, "fill": 256}}, "fill: must be"),
        ({"Pad": {"padding": 1, "padding_mode": "wrap"}}, "padding_mode: must be"),
        ({"RandFlipImage": {"flip_code": 2}}, "flip_code: must be"),
        ({"RandFlipImage": {"prob": 1.5}}, "prob: must be"),
        ({"NormalizeImage": {"order": "rgb"}}, "order: must be"),
        ({"NormalizeImage": {"std": [1, 0, 1]}}, "std: must not contain 0"),
        ({"NormalizeImage": {"mean": [0.5]}}, "mean: must be three"),
        ({"NormalizeImage": {"channel_num": 2}}, "channel_num: must be one of"),
        ({"DecodeImage": {"max_pixels": 0}}, "max_pixels: must be"),
        ({"RandCropImage": {"sise": 8}}, "unknown argument 'sise'; did you mean 'size'"),
    ],
)
def test_bad_values_are_refused(op, message):
    name = next(iter(op))
    with pytest.raises(ConfigError, match=rf"transform_ops\[1\].{name}: {message}"):
        build_transforms([{"DecodeImage": None}, op])


@pytest.mark.parametrize("ops", [["DecodeImage"], [{"DecodeImage": None, "ToCHWImage": None}], [{"CropImage": 8}]])
def test_bad_entries_are_refused(ops):
    with pytest.raises(ConfigError, match=r"transform_ops\[0\]"):
        build_transforms(ops)
