"""Batches: the same whoever makes them, and an error that helps when they cannot be made."""

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.loader import pool
from ppcls.data.transforms import build_transforms
from ppcls.errors import ConfigError, DataError
from tests.data.sections import OPS, assert_same
from tests.helpers.images import encode, picture
from tests.helpers.recipes import ROOT


def build(section, seed=0, train=True, **arguments):
    return build_loader(section, train=train, seed=seed, class_num=3, **arguments)


def test_batches_hold_what_they_say(section):
    loader = build(section(shuffle=False, ops=[OPS[0], {"ResizeImage": {"size": 16}}, *OPS[3:]]))
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader) == 6
    assert [len(batch.labels) for batch in batches] == [4] * 5 + [3]
    for batch in batches:
        assert batch.images.shape == (len(batch.labels), 3, 16, 16)
        assert batch.images.dtype == np.float32 and batch.images.flags.c_contiguous
        assert batch.labels.dtype == batch.indices.dtype == np.int64
        assert batch.skipped == ()
    assert np.concatenate([batch.indices for batch in batches]).tolist() == list(range(23))
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [i % 3 for i in range(23)]
    transforms = build_transforms([OPS[0], {"ResizeImage": {"size": 16}}, *OPS[3:]])
    expected = transforms(Path(loader.dataset.describe(6)).read_bytes(), np.random.default_rng(0))
    np.testing.assert_array_equal(batches[1].images[2], expected)


@pytest.mark.parametrize("workers, shared_memory", [(1, True), (3, True), (2, False)])
@pytest.mark.parametrize("batch_size", [1, 4, 23])
def test_workers_change_nothing(section, workers, shared_memory, batch_size):
    expected = build(section(0, batch_size))
    with build(section(workers, batch_size, shared_memory)) as loader:
        for epoch in (0, 1):
            assert_same(list(loader.epoch(epoch)), list(expected.epoch(epoch)))


def test_spawned_workers_change_nothing(section, monkeypatch):
    monkeypatch.setattr(pool, "can_fork", lambda: False)
    with build(section(2)) as loader:
        assert_same(list(loader.epoch(0)), list(build(section(0)).epoch(0)))


def test_seed_and_epoch_change_the_random_transforms(section):
    def first(seed, epoch):
        return next(build(section(shuffle=False), seed=seed).epoch(epoch)).images

    np.testing.assert_array_equal(first(1, 1), first(1, 1))
    assert not np.array_equal(first(1, 1), first(1, 2))
    assert not np.array_equal(first(1, 1), first(2, 1))


@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_within_an_epoch(section, workers):
    full = list(build(section(0)).epoch(2))
    with build(section(workers)) as loader:
        for start in (0, 3, 5, 6):
            assert_same(list(loader.epoch(2, start=start)), full[start:])
        with pytest.raises(ValueError, match=r"start must be in 0..6, not 7"):
            loader.epoch(2, start=7)


@pytest.mark.parametrize("workers, shared_memory", [(0, True), (2, True), (2, False)])
def test_leaving_an_epoch_early(section, workers, shared_memory):
    reference = build(section(0))
    with build(section(workers, shared_memory=shared_memory)) as loader:
        for epoch in range(4):
            taken = [batch for batch, _ in zip(loader.epoch(epoch), range(epoch + 1))]
            assert_same(taken, list(reference.epoch(epoch))[: epoch + 1])
        abandoned = loader.epoch(7)
        next(abandoned)
        assert_same(list(loader.epoch(8)), list(reference.epoch(8)))
        with pytest.raises(RuntimeError, match="another epoch of this loader was started"):
            next(abandoned)
        with pytest.raises(StopIteration):
            next(abandoned)


def test_batches_may_be_kept(section):
    """Images stay as they are although their memory is used again for later batches."""
    with build(section(2)) as loader:
        kept = []
        for epoch in range(3):
            kept += loader.epoch(epoch)
        views = [batch.images[1:, 0] for batch in kept]
        copies = [view.copy() for view in views]
        del kept
        gc.collect()
        list(loader.epoch(3))
        for view, copy in zip(views, copies):
            np.testing.assert_array_equal(view, copy)


def test_shared_memory_is_used_again(section):
    with build(section(2)) as loader:
        addresses = set()
        for epoch in range(6):
            for batch in loader.epoch(epoch):
                addresses.add(batch.images.__array_interface__["data"][0])
        assert len(addresses) <= loader._pool._max_pending + 2
        del batch
        assert len(loader._pool._buffer._free) == loader._pool._max_pending + 2


@pytest.mark.parametrize("workers", [0, 3])
def test_a_broken_file_is_named(section, images, workers):
    path = images / "image 07.png"
    path.write_bytes(path.read_bytes()[:-30])
    with build(section(workers)) as loader:
        with pytest.raises(DataError, match=r"image 07.png: DecodeImage: the PNG is truncated"):
            list(loader.epoch(0))
        path.write_bytes(encode(picture(), ".png"))
        assert sum(len(batch.labels) for batch in loader.epoch(0)) == 23  # the loader is still of use


@pytest.mark.parametrize("workers", [0, 3])
def test_skipping_takes_the_next_good_one(section, images, workers):
    for index in (5, 6, 22):
        (images / f"image {index:02d}.png").write_bytes(b"")
    loader = build(section(workers, dataset={"on_error": "skip"}))
    with loader:
        batches = list(loader.epoch(0))
    skipped = sorted(item for batch in batches for item in batch.skipped)
    assert [index for index, _ in skipped] == [5, 6, 6, 22]  # 6 by itself, and as the replacement of 5
    assert all(message.endswith("DecodeImage: the file is empty") for _, message in skipped)
    assert "image 05.png" in skipped[0][1]
    order = np.concatenate(loader.sampler.batches(0))
    found = np.concatenate([batch.indices for batch in batches])
    np.testing.assert_array_equal(found, [{5: 7, 6: 7, 22: 0}.get(i, i) for i in order])
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), found % 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_skipping_ends_when_all_are_broken(section, images, workers):
    for path in images.glob("*.png"):
        path.write_bytes(b"")
    with (
        build(section(workers, dataset={"on_error": "skip"})) as loader,
        pytest.raises(DataError, match=r"none of the 23 samples can be read; the first: .*the file is empty"),
    ):
        list(loader.epoch(0))


def test_evaluation_never_replaces(section):
    with pytest.raises(ConfigError, match="on_error: 'skip' would replace images"):
        build(section(dataset={"on_error": "skip"}), train=False)


@pytest.mark.parametrize("workers, shared_memory", [(0, True), (1, True), (3, True), (3, False)])
def test_shapes_that_differ_name_both_files(section, workers, shared_memory):
    ops = [OPS[0], *OPS[3:]]
    with (
        build(section(workers, 4, shared_memory, ops, shuffle=False)) as loader,
        pytest.raises(
            DataError,
            match=r"image 00.png gives \[3, 30, 40\], .*image 0\d.png gives \[3, 3\d, 40\].*add a CropImage",
        ),
    ):
        list(loader.epoch(0))


@pytest.mark.parametrize(
    "ops, message",
    [
        ([], "still an undecoded file after all transforms; add DecodeImage"),
        (OPS[:2], "still uint8 after all transforms; add NormalizeImage"),
        (OPS[:4], r"shape \[16, 16, 3\] after all transforms; end transform_ops with ToCHWImage"),
        (OPS[1:], "RandCropImage: got an undecoded file; put DecodeImage first"),
    ],
)
def test_incomplete_transforms_say_what_to_add(section, ops, message):
    with pytest.raises(DataError, match=rf"image \d\d.png: .*{message}"):
        next(build(section(ops=ops)).epoch(0))


def test_parts_of_several_processes_make_the_batch_of_one(section):
    alone = list(build(section(0, 8)).epoch(0))
    ranks = [list(build(section(0, 4), rank=rank, num_replicas=2).epoch(0)) for rank in range(2)]
    for whole, *parts in zip(alone, *ranks):
        np.testing.assert_array_equal(np.concatenate([part.images for part in parts]), whole.images)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_process_without_a_part_gets_an_empty_batch(section, workers):
    with build(section(workers, 11), rank=0, num_replicas=2) as loader:  # 23 = 22 + 1, and the 1 is for rank 1
        sizes = [batch.images.shape[0] for batch in loader.epoch(0)]
    assert sizes == [11, 0]


def test_build_loader_refuses_what_it_does_not_do(section):
    mixed = section(dataset={"batch_transform_ops": [{"MixupOperator": {"alpha": 0.2}}]})
    with pytest.raises(ConfigError, match="batch_transform_ops: would mix the images of an evaluation"):
        build_loader(mixed, train=False, seed=0, class_num=3)
    with pytest.raises(ConfigError, match="DistributedBatchSampler: unknown argument 'batchsize'; did you mean"):
        build(section(batchsize=3))
    with pytest.raises(DataError, match=r"label 2 is outside 0..1 \(Arch.class_num is 2\)"):
        build_loader(section(), train=True, seed=0, class_num=2)


def test_the_package_has_no_paddle():
    code = "import sys, ppcls.data.build; print(sorted({'paddle', 'yaml', 'pydantic'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
