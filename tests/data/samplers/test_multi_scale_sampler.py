"""Batches of several image sizes."""

import numpy as np
import pytest

from ppcls.data.samplers import SAMPLERS
from ppcls.errors import ConfigError, DataError


def sampler(length=500, seed=0, num_replicas=1, rank=0, **arguments):
    arguments = {"scales": [64, 32, [96, 48]], "first_bs": 4, "divided_factor": 16, **arguments}
    injected = {"length": length, "seed": seed, "num_replicas": num_replicas, "rank": rank}
    return SAMPLERS.build("MultiScaleSampler", arguments, **injected)


def test_batches_have_the_area_of_the_first_size():
    assert sampler().scales == [((64, 64), 4), ((32, 32), 16), ((96, 48), 3)]
    # As PaddleClas: rounded down to multiples after the area of the first size was taken, and never without images.
    rounded = sampler(scales=[70, 100, 600], first_bs=1, divided_factor=32)
    assert rounded.scales == [((64, 64), 1), ((96, 96), 1), ((576, 576), 1)]
    assert sampler(scales=[70, 33], first_bs=3, divided_factor=32).scales == [
        ((64, 64), 70 * 70 * 3 // 64**2),
        ((32, 32), 70 * 70 * 3 // 32**2),
    ]
    assert sampler(scales=[70, 100], is_training=False).scales == [((70, 70), 4)]


@pytest.mark.parametrize("length", [1, 5, 23, 24, 46, 47, 500])
@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_every_sample_once_and_every_size_in_turn(length, replicas, drop_last):
    if drop_last and length < 48:
        return  # there may be no batch
    ranks = [sampler(length, num_replicas=replicas, rank=rank, drop_last=drop_last) for rank in range(replicas)]
    images = dict(ranks[0].scales)
    for epoch in range(4):
        batches = [rank.batches(epoch) for rank in ranks]
        sizes = [ranks[0].image_size(epoch, number) for number in range(len(ranks[0]))]
        assert all(len(part) == len(ranks[0]) == len(ranks[-1]) for part in batches)
        assert sizes == [ranks[-1].image_size(epoch, number) for number in range(len(ranks[0]))]
        together = [np.concatenate(parts) for parts in zip(*batches)]
        drawn = np.concatenate(together)
        assert len(set(drawn)) == len(drawn) and (drop_last or len(drawn) == length)
        for number, (batch, size) in enumerate(zip(together, sizes)):
            complete = number < len(sizes) - 1 or drop_last
            assert len(batch) == images[size] * replicas if complete else len(batch) <= images[size] * replicas
            parts = [len(part[number]) for part in batches]
            assert max(parts) - min(parts) <= 1
        for first in range(0, len(sizes) - 2, 3):
            assert len(set(sizes[first : first + 3])) == 3


def test_sizes_depend_on_seed_and_epoch_alone():
    def plan(epoch, **arguments):
        one = sampler(**arguments)
        return [one.image_size(epoch, number) for number in range(len(one))]

    assert plan(3) == plan(3)
    assert plan(3) != plan(4)
    assert plan(3) != plan(3, seed=1)
    assert plan(3, shuffle=False) == plan(3)
    one = sampler()
    backwards = [one.image_size(epoch, 5) for epoch in (4, 3, 4)]
    assert backwards == [plan(4)[5], plan(3)[5], plan(4)[5]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scales": []}, "scales: give at least one size"),
        ({"scales": [64, 0]}, "scales: must be a whole number of at least 1, not 0"),
        ({"scales": [64, 31], "divided_factor": 32}, "scales: a side is below divided_factor, 32"),
        ({"scales": ["64"]}, "scales"),
        ({"first_bs": 0}, "first_bs: must be a whole number of at least 1"),
        ({"divided_factor": 0}, "divided_factor: must be"),
        ({"batch_size": 8}, "unknown argument 'batch_size'"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ConfigError, match=message):
        sampler(**arguments)


def test_not_even_one_batch():
    with pytest.raises(DataError, match="fewer than one batch"):
        sampler(2, drop_last=True)
