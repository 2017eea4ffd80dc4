"""Images in memory transformed many at once: the same, bit for bit, as one by one."""

import functools

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.loader.batch import sample_rng
from ppcls.data.transforms import build_transforms
from ppcls.engine.components import load_config
from ppcls.errors import DataError
from tests.helpers.recipes import ROOT

RECIPES = sorted(str(path.relative_to(ROOT / "configs")) for path in (ROOT / "configs").glob("CIFAR*/*.yaml"))
NORMALIZE = [{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """Return a folder with 100 random images of either data set, in the binary layout."""
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin", "train.bin", "test.bin"]:
        labels = 2 if name in ("train.bin", "test.bin") else 1
        records = rng.integers(0, 256, (100, labels + 3072), np.uint8)
        records[:, :labels] = 3
        (folder / name).write_bytes(records.tobytes())
    return folder


def loader(cifar, ops, train=True, name="Cifar10", workers=0):
    dataset = {"name": name, "image_root": str(cifar), "transform_ops": ops}
    section = {"dataset": dataset, "sampler": {"batch_size": 70, "shuffle": train}, "loader": {"num_workers": workers}}
    return build_loader(section, train=train, seed=4, class_num=100)


def one_by_one(batches, epoch, indices):
    """Return images made by the transforms' other way."""
    samples = batches._samples
    return np.stack([samples.load_image(epoch, int(index)) for index in indices])


@pytest.mark.parametrize("side", ["Train", "Eval"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_every_cifar_recipe(cifar, recipe, side):
    section = getattr(load_config(recipe).DataLoader, side).dataset
    with loader(cifar, section.transform_ops, side == "Train", section.name) as batches:
        samples, indices = batches._samples, np.arange(9)
        vectorized = samples._plan.of_batch(1, 0).batch(
            batches.dataset.read_many(indices), [sample_rng(4, 1, i) for i in indices]
        )
        alone = one_by_one(batches, 1, indices)
    assert (vectorized.dtype, vectorized.shape) == (alone.dtype, alone.shape)
    np.testing.assert_array_equal(vectorized, alone)


@pytest.mark.parametrize(
    "ops",
    [
        [{"RandCropImageV2": {"size": [28, 24], "padding": 3, "fill": 7}}, *NORMALIZE],
        [{"RandFlipImage": {"flip_code": 0}}, {"RandFlipImage": {"flip_code": -1, "prob": 0.7}}, *NORMALIZE],
        [{"RandomHorizontalFlip": {"prob": 0.3}}, {"Cutout": {"length": 9}}, *NORMALIZE],
        [{"ToCHWImage": None}, {"NormalizeImage": {"order": "chw"}}, {"RandomErasing": {"mode": "pixel"}}],
        [{"AutoAugment": {"policy": "cifar10"}}, {"ResizeImage": {"size": 20}}, *NORMALIZE],
        [{"ResizeImage": {"size": 80}}, *NORMALIZE],  # too large to be worth it
    ],
    ids=["crop", "flips", "cutout", "chw", "resize", "large"],
)
@pytest.mark.parametrize("workers", [0, 2])
def test_whole_epochs(cifar, ops, workers):
    with loader(cifar, ops, workers=workers) as batches:
        found = list(batches.epoch(2))
        assert [len(batch.images) for batch in found] == [70] * 7 + [10]
        for batch in found:
            np.testing.assert_array_equal(batch.images, one_by_one(batches, 2, batch.indices))
            np.testing.assert_array_equal(batch.labels, batches.dataset.labels[batch.indices])


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("ops", "message"),
    [
        ([{"RandCropImageV2": {"size": 40}}, *NORMALIZE], "RandCropImageV2: the image is 32 x 32, smaller"),
        ([{"ToCHWImage": None}, {"RandFlipImage": None}], "RandFlipImage: got a channels-first image"),
        ([{"NormalizeImage": {"order": ""}}, *NORMALIZE], "NormalizeImage: takes uint8 pixels, got float32"),
        ([{"NormalizeImage": None}], "NormalizeImage: order 'chw' takes a channels-first image"),
        ([{"RandFlipImage": None}], "is still uint8 after all transforms"),
    ],
)
def test_mistakes_are_told_as_one_by_one(cifar, ops, message, workers):
    with loader(cifar, ops, workers=workers) as batches, pytest.raises(DataError, match=rf"\.bin\[\d+\]: {message}"):
        next(batches.epoch(0))


def test_small_images_are_transformed_together(cifar):
    with loader(cifar, NORMALIZE) as small, loader(cifar, [{"ResizeImage": {"size": 80}}, *NORMALIZE]) as large:
        for batches, vectorized in ((small, True), (large, False)):
            samples = batches._samples
            transforms = samples._plan.of_batch(0, 0)
            allocate = functools.partial(np.empty, dtype=np.float32)
            part = samples._load_vectorized(0, [1, 2, 3], transforms, allocate, None)
            assert (part is not None) == vectorized


def test_images_that_come_to_differ_in_size_are_refused():
    images = np.zeros((8, 16, 16, 3), np.uint8)
    turn = build_transforms([{"RandFlipImage": None}])
    uneven = type(turn)(("Uneven",), (lambda image, rng: image[: int(rng.integers(1, 16))],))
    with pytest.raises(DataError, match="differ in size"):
        uneven.batch(images, [np.random.default_rng(i) for i in range(8)])


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_of_several_sizes(cifar, workers):
    dataset = {
        "name": "Cifar10",
        "image_root": str(cifar),
        "transform_ops": [{"RandCropImage": {"size": 8}}, *NORMALIZE],
    }
    sampler = {"name": "MultiScaleSampler", "scales": [16, 72, 8], "first_bs": 40, "divided_factor": 8}
    section = {"dataset": dataset, "sampler": sampler, "loader": {"num_workers": workers}}
    with build_loader(section, train=True, seed=4, class_num=100) as batches:
        for number, batch in enumerate(batches.epoch(1)):
            transforms = batches.plan.of_batch(1, number)
            alone = [batches._samples.load_image(1, int(index), transforms) for index in batch.indices]
            np.testing.assert_array_equal(batch.images, np.stack(alone))
        assert number == len(batches) - 1
