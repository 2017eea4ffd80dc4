"""Batches of samples in shards: the same whoever makes them, each shard read by one of them."""

from pathlib import Path

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.packing import PackOptions, pack
from ppcls.data.samplers import SAMPLERS
from ppcls.data.samplers.shard_sampler import shuffle_buffer_order
from ppcls.errors import ConfigError
from tests.data.sections import assert_same, on_shards


def build(section, train=True, **arguments):
    return build_loader(section, train=train, seed=3, class_num=3, **arguments)


BOUNDARIES = np.array([0, 40, 75, 76, 130, 150])


def sampler(batch_size=8, seed=0, num_replicas=1, rank=0, boundaries=BOUNDARIES, **arguments):
    injected = {"length": 150, "seed": seed, "num_replicas": num_replicas, "rank": rank, "boundaries": boundaries}
    return SAMPLERS.build("ShardBatchSampler", {"batch_size": batch_size, **arguments}, **injected)


@pytest.mark.parametrize("length, size", [(0, 3), (1, 1), (7, 1), (7, 7), (7, 20), (500, 30)])
def test_a_buffer_mixes_as_far_as_it_reaches(length, size):
    order = shuffle_buffer_order(length, size, np.random.default_rng(0))
    assert sorted(order) == list(range(length))
    assert all(number <= place + size - 1 for place, number in enumerate(order.tolist()))
    if size == 1:
        assert order.tolist() == list(range(length))
    if length == 500:  # it does use its room, and keeps no sample long
        reach = order - np.arange(length)
        assert reach.max() > size * 0.9
        assert reach.min() < -size


def test_a_buffer_draws_evenly():
    counts = np.zeros((4, 4), int)
    for seed in range(4000):
        for place, number in enumerate(shuffle_buffer_order(4, 3, np.random.default_rng(seed))):
            counts[place, number] += 1
    # First one of the three in the buffer; then the fourth is among three, of which one is drawn, and so on.
    np.testing.assert_allclose(counts[0] / 4000, [1 / 3, 1 / 3, 1 / 3, 0], atol=0.04)
    np.testing.assert_allclose(counts[1] / 4000, [2 / 9, 2 / 9, 2 / 9, 1 / 3], atol=0.04)


@pytest.mark.parametrize("streams", [1, 4, 7, 200])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_every_sample_exactly_once_and_the_same_batches_for_any_number_of_processes(streams, shuffle, replicas):
    arguments = {"streams": streams, "shuffle": shuffle, "buffer_size": 9}
    alone = sampler(6, **arguments).batches(2)
    assert sorted(np.concatenate(alone)) == list(range(150))
    ranks = [sampler(6 // replicas, num_replicas=replicas, rank=r, **arguments).batches(2) for r in range(replicas)]
    for whole, parts in zip(alone, zip(*ranks)):
        np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_order_depends_on_seed_epoch_buffer_and_streams_alone():
    def order(seed=1, epoch=1, **arguments):
        return tuple(np.concatenate(sampler(seed=seed, **arguments).batches(epoch)))

    assert order() == order()
    others = [order(seed=2), order(epoch=2), order(buffer_size=5), order(streams=3)]
    assert len({order(), *others}) == 5
    dropped = sampler(8, drop_last=True).batches(0)
    assert [len(batch) for batch in dropped] == [8] * 18


def test_readers_have_streams_of_their_own():
    """Two processes with two workers each and 8 streams: nobody reads what another one reads, and all go forward."""
    boundaries = np.arange(0, 161, 10)
    seen = {}
    for rank in range(2):
        injected = {"length": 160, "seed": 0, "num_replicas": 2, "rank": rank, "boundaries": boundaries}
        made = SAMPLERS.build("ShardBatchSampler", {"batch_size": 8, "streams": 8, "buffer_size": 3}, **injected)
        for batch in made.batches(4):
            for worker, part in enumerate((batch[:4], batch[4:])):
                seen.setdefault((rank, worker), []).append(part)
    shards = {reader: {int(i) // 10 for part in parts for i in part} for reader, parts in seen.items()}
    assert sorted(shard for found in shards.values() for shard in found) == list(range(16))  # 160 / 8 is two shards
    for parts in seen.values():
        # Of one stream: two shards one after the other, within the buffer's reach.
        for stream in range(2):
            places = np.concatenate([part[2 * stream : 2 * stream + 2] for part in parts])
            inside = places % 10 + 10 * (places // 10 != places[0] // 10)
            assert all(number <= place + 2 for place, number in enumerate(inside.tolist()))


def test_mistakes_in_the_recipe():
    for name in ("buffer_size", "streams"):
        for value in (0, -1, 2.5, "8", True):
            with pytest.raises(ConfigError, match=f"{name}: must be a whole number"):
                sampler(**{name: value})
    with pytest.raises(
        ConfigError, match="ShardBatchSampler: the data set is not in shards; use DistributedBatchSampler"
    ):
        sampler(boundaries=None)


def test_a_data_set_without_shards_is_refused(section):
    with pytest.raises(ConfigError, match="ShardBatchSampler: the data set is not in shards"):
        build(section(name="ShardBatchSampler"))


# -- loading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size, streams", [(4, 4), (5, 3), (1, 2), (23, 40)])
def test_workers_and_resuming_change_nothing(packed, batch_size, streams):
    arguments = {"batch_size": batch_size, "streams": streams, "buffer_size": 3}
    expected = list(build(on_shards(packed, 0, **arguments)).epoch(1))
    assert len({int(i) for batch in expected for i in batch.indices}) == 23
    for workers in (0, 2, 3):
        with build(on_shards(packed, workers, **arguments)) as loader:
            assert_same(list(loader.epoch(1)), expected)
            start = len(expected) // 2
            assert_same(list(loader.epoch(1, start=start)), expected[start:])


def test_two_replicas_read_the_batches_of_one(packed):
    alone = list(build(on_shards(packed, 0, 8, streams=4)).epoch(0))
    one, two = (build(on_shards(packed, 2 * rank, 4, streams=4), num_replicas=2, rank=rank) for rank in range(2))
    with one, two:
        for whole, *parts in zip(alone, one.epoch(0), two.epoch(0)):
            np.testing.assert_array_equal(whole.indices, np.concatenate([part.indices for part in parts]))
            np.testing.assert_array_equal(whole.images, np.concatenate([part.images for part in parts]))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks at the files that processes have open")
def test_each_worker_opens_its_own_shards(images, tmp_path):
    lines = (images / "list.txt").read_text().splitlines()[:16]
    (images / "list.txt").write_text("\n".join(lines))
    pack(PackOptions(str(images), str(images / "list.txt"), shard_samples=4), tmp_path / "out", workers=1)
    values = on_shards(tmp_path / "out", 2, 4, streams=4, buffer_size=2)
    with build(values) as loader:
        loader.dataset.read(0)  # what is open before the fork is not used by the workers
        batches = list(loader.epoch(0))
        opened = []
        for process in loader._pool._processes:
            links = [str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()]
            # Those that other tests left open in this process are not meant.
            opened.append(sorted({link for link in links if link.startswith(f"{tmp_path}/out/")}))
    assert len(batches) == 4
    assert [len(paths) for paths in opened] == [2, 2]
    assert not set(opened[0]) & set(opened[1])
