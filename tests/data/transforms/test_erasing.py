"""Parts of an image that are erased: RandomErasing, GridMask, Cutout."""

import numpy as np
import pytest

from ppcls.data.transforms import build_transforms
from ppcls.errors import ConfigError, DataError
from tests.helpers.images import PICTURES


@pytest.mark.parametrize("mode", ["const", "rand", "pixel"])
@pytest.mark.parametrize("layout", ["chw", "hwc"])
def test_erasing(mode, layout):
    arguments = {"EPSILON": 0.25, "sl": 0.02, "sh": 1 / 3, "r1": 0.3, "attempt": 10, "use_log_aspect": True}
    erase = build_transforms([{"RandomErasing": {**arguments, "mode": mode}}])
    shape = (3, 60, 80) if layout == "chw" else (60, 80, 3)
    areas, erased = [], 0
    for seed in range(400):
        image = erase(np.full(shape, 7, np.float32), np.random.default_rng(seed))
        planes = image if layout == "chw" else image.transpose(2, 0, 1)
        hidden = (planes != 7).any(0)
        if hidden.any():
            erased += 1
            rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
            box = planes[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert (box != 7).all()
            areas.append(box[0].size / 4800)
            assert 0.25 < box.shape[1] / box.shape[2] < 4
            if mode == "const":
                assert not box.any()
            elif mode == "rand":
                assert (box == box[:, :1, :1]).all()
            elif box[0].size > 50:
                assert 0.6 < box.std() < 1.4
    assert 70 < erased < 130  # a quarter of 400
    assert 0.015 < min(areas) < 0.06
    assert 0.28 < max(areas) < 0.35


def test_erasing_several_rectangles():
    arguments = {"EPSILON": 1, "sl": 0.1, "sh": 0.1, "use_log_aspect": True, "min_count": 2, "max_count": 4}
    erase = build_transforms([{"RandomErasing": arguments}])
    shares = []
    for seed in range(300):
        image = erase(np.ones((3, 100, 100), np.float32), np.random.default_rng(seed))
        shares.append(1 - image[0].mean())
    assert max(shares) < 0.11  # together as much as one
    assert 0.085 < np.mean(shares) < 0.1  # some overlap
    with pytest.raises(ConfigError, match="max_count: must be a whole number of at least 3, not 2"):
        build_transforms([{"RandomErasing": {"min_count": 3, "max_count": 2}}])


def test_erasing_wants_normalized_images():
    with pytest.raises(DataError, match="put it after NormalizeImage"):
        build_transforms([{"RandomErasing": {"EPSILON": 1}}])(PICTURES[0], np.random.default_rng(0))


def test_grid_mask_and_cutout_hide_what_they_say():
    white = np.full((64, 64, 3), 255, np.uint8)
    shares = [
        (
            build_transforms([{"GridMask": {"d1": 10, "d2": 11, "mode": mode}}])(white, np.random.default_rng(1)) == 0
        ).mean()
        for mode in (0, 1)
    ]
    assert abs(shares[0] - 0.25) < 0.06  # half of each side
    assert abs(sum(shares) - 1) < 1e-9
    holes = [build_transforms([{"Cutout": {"length": 16}}])(white, np.random.default_rng(s)) for s in range(50)]
    sizes = [(hole == 0).all(2).sum() for hole in holes]
    assert max(sizes) == 256
    assert min(sizes) >= 64  # a quarter of it in a corner
