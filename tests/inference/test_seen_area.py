"""Which part of a photo the transforms leave, and heat on the photo."""

import numpy as np
import pytest

from ppcls.data.transforms import build_transforms
from ppcls.inference import seen_area

_NORMALIZED = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]


@pytest.mark.parametrize(
    ("ops", "expected"),
    [
        ([], (0, 0, 120, 80)),
        ([{"ResizeImage": {"size": [50, 70]}}], (0, 0, 120, 80)),
        ([{"CropImage": {"size": 40}}], (40, 20, 80, 60)),
        # The short side of 80 becomes 32: a crop of 24 is 60 pixels of the photo, in its middle.
        (
            [{"ResizeImage": {"resize_short": 32, "interpolation": "bicubic"}}, {"CropImage": {"size": 24}}],
            (30, 10, 90, 70),
        ),
        ([{"ResizeImage": {"size": 16, "interpolation": "area"}}], (0, 0, 120, 80)),
        ([{"Pad": {"padding": [10, 20]}}], (-10, -20, 130, 100)),
        ([{"Padv2": {"size": 160, "pad_mode": 1}}, {"ResizeImage": {"size": 80}}], (-20, -40, 140, 120)),
        ([{"CropImageAtRatio": {"size": 56, "pad": 8}}], (25, 5, 95, 75)),
    ],
)
def test_the_seen_area(ops, expected):
    transforms = build_transforms([{"DecodeImage": None}, *ops, *_NORMALIZED])
    area = seen_area.find(transforms, 80, 120)
    assert area == pytest.approx(expected, abs=1.3)


@pytest.mark.parametrize("flip", [0, 1])
def test_a_mirrored_photo_has_no_such_area(flip):
    transforms = build_transforms([{"DecodeImage": None}, {"RandFlipImage": {"flip_code": flip, "prob": 1.0}}])
    assert seen_area.find(transforms, 80, 120) is None


def test_grayscale_and_channels_first_models():
    gray = [{"DecodeImage": {"channels": 1}}, {"CropImage": {"size": 40}}]
    assert seen_area.find(build_transforms(gray), 80, 120) == pytest.approx((40, 20, 80, 60), abs=0.6)
    first = [{"DecodeImage": None}, {"CropImage": {"size": 40}}, {"ToCHWImage": None}, {"NormalizeImage": None}]
    assert seen_area.find(build_transforms(first), 80, 120) == pytest.approx((40, 20, 80, 60), abs=0.6)


def test_heat_on_the_photo():
    heat = np.zeros((20, 20), np.float32)
    heat[5, 15] = 1
    area = seen_area.SeenArea(40, 20, 80, 60)  # twice the size of the heat map
    placed = seen_area.on_photo(heat, area, 80, 120)
    assert placed.shape == (80, 120)
    row, column = np.unravel_index(placed.argmax(), placed.shape)
    assert (row, column) in {(20 + 10 + i, 40 + 30 + j) for i in (0, 1) for j in (0, 1)}
    assert not placed[:20].any()
    assert not placed[:, :40].any()
    full = seen_area.on_photo(np.ones((20, 20), np.float32), area, 80, 120)
    assert full.sum() == pytest.approx(40 * 40)
    padded = seen_area.on_photo(np.ones((20, 20), np.float32), seen_area.SeenArea(-10, -10, 130, 90), 80, 120)
    assert (padded == 1).all()
