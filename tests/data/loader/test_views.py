"""Several images made of each sample."""

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.loader import pool
from ppcls.data.loader.batch import sample_rng
from ppcls.data.transforms import build_transforms
from ppcls.errors import ConfigError
from tests.data.sections import OPS, assert_same
from tests.helpers.images import picture

SPLIT = {"TimmAutoAugment": {"config_str": "augmix-m3-w3", "splits": 3, "img_size": 16}}
VIEWS = [*OPS[:3], SPLIT, *OPS[3:]]
ERASING = {"RandomErasing": {"EPSILON": 1.0, "mode": "const", "mean": [9.0, 9.0, 9.0]}}


def build(section, workers=0, ops=VIEWS, train=True, **options):
    return build_loader(section(workers, ops=ops, **options), train=train, seed=2, class_num=3)


def test_the_clean_image_comes_first_and_the_others_are_augmented():
    image = picture()
    transforms = build_transforms([SPLIT, *OPS[3:]])
    assert transforms.views == 3
    views = transforms(image, np.random.default_rng(0))
    assert views.shape == (3, 3, 40, 60) and views.flags.c_contiguous
    plain = build_transforms(OPS[3:])
    rng = np.random.default_rng(0)
    augment = build_transforms([{"TimmAutoAugment": {**SPLIT["TimmAutoAugment"], "splits": 1}}])
    np.testing.assert_array_equal(views[0], plain(image, rng))
    for view in views[1:]:
        np.testing.assert_array_equal(view, plain(augment(image, rng), rng))
    assert not np.array_equal(views[1], views[2])


def test_what_follows_is_applied_to_each_view():
    views = build_transforms([SPLIT, *OPS[3:], ERASING])(picture(), np.random.default_rng(0))
    erased = (views == 9).all(axis=1)
    assert erased.any(axis=(1, 2)).all()
    assert len({mask.tobytes() for mask in erased}) == 3


def test_a_batch_holds_all_clean_images_first(section):
    loader = build(section)
    batch = next(loader.epoch(1))
    assert loader.views == batch.views == 3
    assert batch.images.shape == (12, 3, 16, 16) and batch.images.flags.c_contiguous
    assert len(batch.labels) == len(batch.indices) == 4
    for row, draw in enumerate(loader.sampler.batches(1)[0]):
        rng = sample_rng(2, 1, int(draw))
        views = build_transforms(VIEWS)(loader.dataset.read(int(draw)), rng)
        for view in range(3):
            np.testing.assert_array_equal(batch.images[view * 4 + row], views[view])


@pytest.mark.parametrize(("workers", "shared_memory"), [(2, True), (2, False)])
def test_workers_change_nothing(section, workers, shared_memory):
    expected = list(build(section).epoch(0))
    with build(section, workers, shared_memory=shared_memory) as loader:
        assert_same(list(loader.epoch(0)), expected)
        assert_same(list(loader.epoch(0, start=3)), expected[3:])
    assert {batch.views for batch in expected} == {3}


def test_spawned_workers_change_nothing(section, monkeypatch):
    monkeypatch.setattr(pool, "can_fork", lambda: False)
    ops = [*OPS[:3], {"AugMix": {"splits": 3, "prob": 1}}, *OPS[3:]]
    with build(section, 2, ops) as loader:
        assert_same(list(loader.epoch(0)), list(build(section, 0, ops).epoch(0)))


@pytest.mark.parametrize("splits", [0, 1])
def test_off_makes_one_image(section, splits):
    ops = [*OPS[:3], {"AugMix": {"splits": splits}}, *OPS[3:]]
    loader = build(section, ops=ops)
    assert loader.views == 1 and next(loader.epoch(0)).images.shape == (4, 3, 16, 16)


def test_wrong_combinations_are_refused(section):
    with pytest.raises(ConfigError, match="splits is for training: an evaluation counts each image once"):
        build(section, train=False, shuffle=False)
    with pytest.raises(ConfigError, match="batch_transform_ops: would mix different images, and splits"):
        build(section, dataset={"batch_transform_ops": [{"MixupOperator": {"alpha": 0.2}}]})
    with pytest.raises(ConfigError, match="TimmAutoAugment and AugMix have splits; give them to one transform"):
        build(section, ops=[*VIEWS[:4], {"AugMix": {"splits": 2}}, *OPS[3:]])
