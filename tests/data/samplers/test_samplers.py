"""Which samples make a batch."""

import numpy as np
import pytest

from ppcls.data.samplers import SAMPLERS
from ppcls.errors import ConfigError, DataError


def sampler(batch_size=4, length=22, seed=0, num_replicas=1, rank=0, **arguments):
    arguments = {"batch_size": batch_size, **arguments}
    injected = {"length": length, "seed": seed, "num_replicas": num_replicas, "rank": rank}
    return SAMPLERS.build("DistributedBatchSampler", arguments, **injected)


def test_recipes_may_give_three_arguments():
    assert [p.name for p in SAMPLERS["DistributedBatchSampler"].parameters()] == ["batch_size", "shuffle", "drop_last"]
    assert SAMPLERS["BatchSampler"].target is SAMPLERS["DistributedBatchSampler"].target


@pytest.mark.parametrize("replicas", [1, 2, 3, 5])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("length", [1, 22, 24, 29, 30])
def test_every_sample_exactly_once(replicas, shuffle, length):
    ranks = [sampler(2, length, num_replicas=replicas, rank=r, shuffle=shuffle) for r in range(replicas)]
    batches = [r.batches(3) for r in ranks]
    assert {len(b) for b in batches} == {len(r) for r in ranks} == {-(-length // (2 * replicas))}
    indices = np.concatenate([part for rank in batches for part in rank])
    assert sorted(indices) == list(range(length))
    for parts in zip(*batches):
        sizes = [len(part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("length, batches", [(24, 3), (31, 3), (32, 4)])
def test_drop_last(length, batches):
    for rank in range(2):
        found = sampler(4, length, num_replicas=2, rank=rank, drop_last=True).batches(0)
        assert [len(batch) for batch in found] == [4] * batches


@pytest.mark.parametrize("length", [24, 22])
def test_global_batches_do_not_depend_on_the_number_of_processes(length):
    alone = sampler(8, length, shuffle=True, seed=5).batches(7)
    for replicas in (2, 4):
        ranks = [sampler(8 // replicas, length, 5, replicas, r, shuffle=True).batches(7) for r in range(replicas)]
        for whole, parts in zip(alone, zip(*ranks)):
            np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        return np.concatenate(sampler(seed=seed, shuffle=True).batches(epoch)).tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)}) == 16
    assert np.concatenate(sampler().batches(9)).tolist() == list(range(22))


def test_mistakes():
    with pytest.raises(DataError, match=r"the data set has 7 images, fewer than one batch \(sampler.batch_size 8\)"):
        sampler(8, 7, drop_last=True)
    with pytest.raises(DataError, match=r"fewer than one batch \(sampler.batch_size 4 x 2 processes\)"):
        sampler(4, 7, num_replicas=2, drop_last=True)
    with pytest.raises(DataError, match="no images"):
        sampler(4, 0)
    for size in (0, 2.5, "8", True):
        with pytest.raises(ConfigError, match="batch_size: must be a whole number"):
            sampler(size)
    with pytest.raises(ConfigError, match=r"rank: must be in 0..1, not 2"):
        sampler(4, num_replicas=2, rank=2)
