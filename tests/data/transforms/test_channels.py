"""Grayscale and RGBA images in all transforms that take them."""

import numpy as np
import pytest

from ppcls.data.transforms import TRANSFORMS, build_transforms
from ppcls.data.transforms.tensor import NormalizeImage
from ppcls.errors import ConfigError, DataError

# Each transform that moves or hides pixels, with arguments that make it do so. Both backends where there are two.
SPATIAL = [
    {"ResizeImage": {"size": [9, 7]}},
    {"ResizeImage": {"size": [9, 7], "backend": "pil", "interpolation": "bicubic"}},
    {"ResizeImage": {"resize_short": 30, "interpolation": "area"}},
    {"CropImage": {"size": 8}},
    {"CropImageAtRatio": {"size": 8, "pad": 2}},
    {"RandCropImage": {"size": 8}},
    {"RandCropImage": {"size": 8, "backend": "pil"}},
    {"RandomResizedCrop": {"size": 8}},
    {"RandCropImageV2": {"size": 8, "padding": 2, "fill": 9}},
    {"RandFlipImage": {"flip_code": -1, "prob": 1}},
    {"RandomHorizontalFlip": {"prob": 1}},
    {"RandomRotation": {"prob": 1, "fill": 9}},
    {"RandomRotation": {"prob": 1, "backend": "pil", "interpolation": "bilinear", "fill": 9}},
    {"Pad": {"padding": 2, "fill": 9}},
    {"Pad": {"padding": 2, "padding_mode": "reflect"}},
    {"Padv2": {"size_divisor": 32, "fill_value": 9}},
    {"Cutout": {"length": 6, "fill_value": 9}},
    {"GridMask": {"d1": 4, "d2": 9, "rotate": 30}},
]


def image(channels, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (16, 20, channels), np.uint8)


@pytest.mark.parametrize("op", SPATIAL, ids=str)
def test_each_channel_is_moved_as_one_of_rgb_is(op):
    pytest.importorskip("PIL")
    transform = build_transforms([{"DecodeImage": {"channels": 3}}, op])
    colored = image(3)
    expected = transform(colored, np.random.default_rng(1))
    gray = build_transforms([{"DecodeImage": {"channels": 1}}, op])
    made = gray(colored[:, :, :1].copy(), np.random.default_rng(1))
    np.testing.assert_array_equal(made, expected[:, :, :1])
    rgba = build_transforms([{"DecodeImage": {"channels": 4}}, op])
    with_alpha = rgba(np.dstack([colored, colored[:, :, 0]]), np.random.default_rng(1))
    np.testing.assert_array_equal(with_alpha[:, :, :3], expected)
    seen = expected[:, :, 0] != 9  # borders and holes are opaque
    np.testing.assert_array_equal(with_alpha[:, :, 3][seen], expected[:, :, 0][seen])


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("op", SPATIAL, ids=str)
def test_a_batch_is_as_the_images_one_by_one(op, channels):
    pytest.importorskip("PIL")
    statistics = {"mean": [0.5] * channels, "std": [0.25] * channels, "order": ""}
    fixed = {"ResizeImage": {"size": 8}}
    transforms = build_transforms(
        [{"DecodeImage": {"channels": channels}}, op, fixed, {"NormalizeImage": statistics}, {"ToCHWImage": None}]
    )
    images = np.stack([image(channels, seed) for seed in range(3)])
    batch = transforms.batch(images, [np.random.default_rng(seed) for seed in range(3)])
    assert batch.shape == (3, channels, 8, 8)
    for seed in range(3):
        np.testing.assert_array_equal(transforms(images[seed], np.random.default_rng(seed)), batch[seed])


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("order", ["", "chw"])
def test_normalization_is_its_formula(channels, order):
    mean, std = [0.1, 0.2, 0.3, 0.4][:channels], [0.5, 0.6, 0.7, 0.8][:channels]
    pixels = image(channels)
    given = pixels.transpose(2, 0, 1) if order else pixels
    expected = (given / 255 - np.reshape(mean, (-1, 1, 1) if order else (1, 1, -1))) / np.reshape(
        std, (-1, 1, 1) if order else (1, 1, -1)
    )
    normalize = NormalizeImage(mean=mean, std=std, order=order)
    np.testing.assert_allclose(normalize(np.ascontiguousarray(given), None), expected, atol=1e-6)
    paddle_vision = TRANSFORMS.build("Normalize", {"mean": mean, "std": std, "data_format": "CHW" if order else "HWC"})
    np.testing.assert_allclose(paddle_vision(given / np.float32(255), None), expected, atol=1e-6)
    other = np.zeros((4, 4, 4 if channels != 4 else 3), np.uint8)
    with pytest.raises(DataError, match=f"mean has {channels} values"):
        normalize(other.transpose(2, 0, 1) if order else other, None)


def test_wrong_numbers_of_statistics():
    with pytest.raises(ConfigError, match=r"mean: must be a list of 1, 3, 4 numbers, one per channel"):
        NormalizeImage(mean=[0.5] * 2, std=[0.5] * 2)
    with pytest.raises(ConfigError, match=r"mean: must be one number, one per channel as in std"):
        NormalizeImage(mean=[0.5] * 4, std=[0.5])


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("chw", [False, True])
@pytest.mark.parametrize(
    "op",
    [
        {"RandomErasing": {"EPSILON": 1, "mode": "const"}},
        {"RandomErasing": {"EPSILON": 1, "mode": "pixel"}},
        {"RandomErasing": {"EPSILON": 1, "mode": "rand"}},
        {"HideAndSeek": {"grid_sizes": [4], "hide_prob": 0.5}},
    ],
    ids=str,
)
def test_normalized_images_are_hidden_in_all_channels(op, chw, channels):
    normalized = np.full((16, 20, channels), 7, np.float32)
    given = normalized.transpose(2, 0, 1) if chw else normalized
    made = build_transforms([op])(given.copy(), np.random.default_rng(0))
    changed = made != 7
    assert changed.any() and not changed.all()
    planes = changed if chw else changed.transpose(2, 0, 1)
    for plane in planes:
        np.testing.assert_array_equal(plane, planes[0])


def test_what_needs_rgb_says_so():
    needing = {name for name in TRANSFORMS.names() if getattr(TRANSFORMS[name].target, "needs_rgb", False)}
    assert needing >= {"ColorJitter", "PCALighting", "TimmAutoAugment", "AugMix", "RandomGrayscale", "TrivialAugment"}
    moving = {next(iter(op)) for op in SPATIAL}
    others = {"RandomErasing", "HideAndSeek", "DecodeImage", "NormalizeImage", "Normalize", "ToCHWImage", "ToTensor"}
    aliases = {"Pad_paddle_vision", "RandomCropImage"}
    assert set(TRANSFORMS.names()) - needing - moving - others - aliases == set()
