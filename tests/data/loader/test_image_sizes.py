"""Batches of several image sizes, and transforms that change over training."""

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.loader import pool
from ppcls.errors import ConfigError, DataError
from tests.data.sections import OPS, assert_same

SCALES = {"name": "MultiScaleSampler", "scales": [16, [32, 24], 8], "first_bs": 4, "divided_factor": 8}
PROGRESSIVE = [
    OPS[0],
    {"RandCropImage": {"size": 8, "progress_size": [8, 16, 24]}},
    {"RandAugmentV2": {"progress_magnitude": [0, 5, 10]}},
    *OPS[3:],
]


def multi_scale(section, workers=0, shared_memory=True, ops=OPS, **options):
    made = section(workers, shared_memory=shared_memory, ops=ops)
    return build_loader({**made, "sampler": SCALES}, train=True, seed=1, class_num=3, **options)


def progressive(section, workers=0, epochs=6, ops=PROGRESSIVE, **options):
    return build_loader(
        section(workers, ops=ops), train=True, seed=1, class_num=3, progressive_epochs=epochs, **options
    )


def test_batches_have_the_size_of_the_sampler(section):
    loader = multi_scale(section)
    for epoch in range(2):
        for number, batch in enumerate(loader.epoch(epoch)):
            assert batch.images.shape[2:][::-1] == loader.sampler.image_size(epoch, number)
        assert number == len(loader) - 1


@pytest.mark.parametrize(("workers", "shared_memory"), [(2, True), (3, False)])
def test_workers_change_nothing(section, workers, shared_memory):
    expected = multi_scale(section)
    with multi_scale(section, workers, shared_memory) as loader:
        for epoch in (0, 1):
            assert_same(list(loader.epoch(epoch)), list(expected.epoch(epoch)))
        assert_same(list(loader.epoch(1, start=2)), list(expected.epoch(1))[2:])
        if shared_memory:
            assert loader._pool._buffer is not None
            assert loader._pool._buffer.fits(4, (3, 16, 16))
            assert not loader._pool._buffer.fits(17, (3, 16, 16))


def test_spawned_workers_change_nothing(section, monkeypatch):
    monkeypatch.setattr(pool, "can_fork", lambda: False)
    with progressive(section, 2) as loader:
        assert_same(list(loader.epoch(5)), list(progressive(section).epoch(5)))


def test_each_image_is_cropped_as_at_its_own_size(section):
    loader = multi_scale(section)
    batch = next(loader.epoch(0))
    width, height = loader.sampler.image_size(0, 0)
    alone = build_loader(
        section(ops=[OPS[0], {"RandCropImage": {"size": [width, height]}}, *OPS[2:]]), train=True, seed=1, class_num=3
    )
    np.testing.assert_array_equal(batch.images, alone.load_batch(0, loader.sampler.batches(0)[0].tolist()).images)


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([OPS[0], *OPS[2:]], "images of several sizes need RandCropImage, or ResizeImage with size"),
        ([OPS[0], {"ResizeImage": {"resize_short": 20}}, OPS[1]], "ResizeImage.resize_short: does not fit images of"),
        ([*OPS[:2], {"Padv2": {"size": 20}}], "to set the size, and not Padv2"),
    ],
)
def test_transforms_that_do_not_follow_are_refused(section, ops, message):
    with pytest.raises(ConfigError, match=f"transform_ops: .*{message}"):
        multi_scale(section, ops=ops)


def test_crops_larger_than_the_image_are_errors_of_that_image(section):
    loader = multi_scale(section, ops=[OPS[0], {"ResizeImage": {"size": 64}}, {"CropImage": {"size": 8}}, *OPS[3:]])
    assert {batch.images.shape[2:] for batch in loader.epoch(0)} == {(16, 16), (24, 32), (8, 8)}
    bare = multi_scale(section, ops=[OPS[0], {"Pad": {"padding": 1}}, {"RandCropImageV2": {"size": 8}}, *OPS[3:]])
    assert len(list(bare.epoch(0))) == len(bare)  # pictures of 30 to 52 x 40 pixels
    with pytest.raises(DataError, match="smaller than the crop of 64 x 64"):
        large = {**section(ops=[OPS[0], {"CropImage": {"size": 8}}, *OPS[3:]]), "sampler": {**SCALES, "scales": [64]}}
        list(build_loader(large, train=True, seed=1, class_num=3).epoch(0))


@pytest.mark.parametrize(
    ("epochs", "stages"),
    [
        (6, [0, 0, 1, 1, 2, 2]),
        (7, [0, 0, 1, 1, 2, 2, 2]),  # as in PaddleClas, which ends the stages with epochs 2, 4 and 7
        (3, [0, 1, 2]),
        (2, [1, 2]),
    ],
)
def test_stages_are_equal_parts_of_the_epochs(section, epochs, stages):
    loader = progressive(section, epochs=epochs)
    assert [loader.plan.stage(epoch) for epoch in range(epochs)] == stages
    for epoch, stage in enumerate(stages):
        assert next(loader.epoch(epoch)).images.shape[2:] == ([8, 16, 24][stage],) * 2


def test_stages_with_workers(section):
    expected = progressive(section)
    with progressive(section, 2) as loader:
        for epoch in range(6):
            assert_same(list(loader.epoch(epoch)), list(expected.epoch(epoch)))
        assert loader._pool._buffer.fits(4, (3, 24, 24))


def test_a_stage_equals_its_sizes_and_magnitudes_written_plainly(section):
    plain = [
        OPS[0],
        {"RandCropImage": {"size": 16}},
        {"RandAugmentV2": {"magnitude": 5}},
        *OPS[3:],
    ]
    alone = build_loader(section(ops=plain), train=True, seed=1, class_num=3)
    assert_same(list(progressive(section).epoch(2)), list(alone.epoch(2)))


def test_stages_of_different_numbers_are_refused(section):
    ops = [OPS[0], {"RandCropImage": {"size": 8, "progress_size": [8, 16]}}, PROGRESSIVE[2], *OPS[3:]]
    with pytest.raises(ConfigError, match="differ in number: RandCropImage has 2, RandAugmentV2 has 3"):
        progressive(section, ops=ops)


def test_stages_need_progressive_training_and_the_reverse(section):
    with pytest.raises(ConfigError, match=r"have no effect without Global.train_mode: progressive"):
        progressive(section, epochs=None)
    with pytest.raises(ConfigError, match=r"progressive needs RandCropImage\.progress_size or RandAugmentV2"):
        progressive(section, ops=OPS)
    with pytest.raises(ConfigError, match=r"MultiScaleSampler and Global.train_mode: progressive exclude"):
        multi_scale(section, ops=PROGRESSIVE, progressive_epochs=6)
