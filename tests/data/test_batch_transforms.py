"""Mixup and cutmix by their definitions, and in the loader."""

import tracemalloc

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.batch_transforms import BATCH_TRANSFORMS, BatchCompose, cutmix_box
from ppcls.data.loader.batch import sample_rng
from ppcls.data.samplers import SAMPLERS, ClassBalancedSampler
from ppcls.errors import ConfigError

CLASSES = 5


def batch(count=8, side=6):
    """Return images whose pixels all equal 1 + their number, and their labels."""
    images = np.ones((count, 3, side, side), np.float32) * (1 + np.arange(count, dtype=np.float32))[:, None, None, None]
    return images, np.arange(count) % CLASSES


def mixed(op, seed=0, epoch=0, count=8, side=6):
    images, labels = batch(count, side)
    targets = BatchCompose([op], CLASSES)(images, labels, epoch, np.random.default_rng(seed))
    return images, targets


@pytest.mark.parametrize("count", [2, 7, 8])
def test_mixup_pairs_with_the_batch_read_backwards(count):
    op = {"MixupCutmixOperator": {"mixup_alpha": 0.8, "cutmix_alpha": 0.0}}
    images, targets = mixed(op, count=count)
    rng = np.random.default_rng(0)
    rng.random()  # whether the batch is mixed
    lam = rng.beta(0.8, 0.8)
    original, labels = batch(count)
    np.testing.assert_allclose(images, lam * original + (1 - lam) * original[::-1], rtol=1e-5)
    one_hot = np.eye(CLASSES)[labels]
    np.testing.assert_allclose(targets, lam * one_hot + (1 - lam) * one_hot[::-1], atol=1e-6)


@pytest.mark.parametrize(
    "op",
    [
        {"MixupCutmixOperator": {"mixup_alpha": 0.0}},
        {"MixupCutmixOperator": {"mixup_alpha": 0.0, "mode": "pair"}},
        {"MixupCutmixOperator": {"mixup_alpha": 0.0, "mode": "elem"}},
        {"MixupCutmixOperator": {"mixup_alpha": 0.0, "cutmix_minmax": [0.2, 0.8]}},
        {"CutmixOperator": {"alpha": 1.0}},
    ],
    ids=str,
)
def test_cutmix_targets_are_the_shares_of_pixels(op):
    for seed in range(30):
        images, targets = mixed(op, seed, count=5, side=10)  # five classes: a class names its sample
        np.testing.assert_allclose(targets.sum(1), 1, rtol=1e-6)
        for image, target in zip(images, targets):
            shares = [(image[0] == 1 + number).mean() for number in range(CLASSES)]
            np.testing.assert_allclose(target, shares, atol=1e-6)


@pytest.mark.parametrize("mode", ["batch", "pair", "elem"])
def test_images_and_targets_have_the_same_shares(mode):
    """With pixels 1 to 5 of five classes, the mean of a mixed image follows from its target, mixup or cutmix."""
    for seed in range(30):
        images, targets = mixed({"MixupCutmixOperator": {"mode": mode}}, seed, count=5, side=12)
        np.testing.assert_allclose(images.mean((1, 2, 3)), targets @ (1 + np.arange(5)), rtol=1e-4)


def test_lambda_and_the_choice_between_the_two():
    cut, lams = 0, []
    for seed in range(2000):
        images, targets = mixed({"MixupCutmixOperator": {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}}, seed, count=2)
        is_cut = set(np.unique(images)) <= {1.0, 2.0}
        cut += is_cut
        if not is_cut:
            lams.append(targets[0, 0])
    assert 900 < cut < 1100
    assert abs(np.mean(lams) - 0.5) < 0.03
    assert abs(np.var(lams) - 0.25 / 2.6) < 0.01  # of beta(0.8, 0.8)


def test_boxes_are_as_large_as_wanted_but_for_edges():
    rng = np.random.default_rng(0)
    boxes = [cutmix_box(200, 100, 0.64, rng) for _ in range(500)]
    areas = np.array([(bottom - top) * (right - left) for top, left, bottom, right in boxes]) / 20000
    assert areas.max() == pytest.approx(0.36)
    assert areas.min() < 0.2


def test_op_sampler_chooses_by_chance():
    op = {"OpSampler": {"MixupOperator": {"alpha": 0.8, "prob": 0.5}, "CutmixOperator": {"alpha": 1.0, "prob": 0.2}}}
    kinds = {"none": 0, "cutmix": 0, "mixup": 0}
    original, _ = batch(4, 20)
    for seed in range(1000):
        images, _ = mixed(op, seed, count=4, side=20)
        if np.array_equal(images, original):
            kinds["none"] += 1
        else:
            kinds["cutmix" if set(np.unique(images)) <= {1.0, 2.0, 3.0, 4.0} else "mixup"] += 1
    # A permutation may leave everything where it is: one of 24.
    assert 430 < kinds["mixup"] < 530
    assert 150 < kinds["cutmix"] < 240


def test_switched_off():
    original, labels = batch()
    for op, epoch in (
        ({"MixupOperator": {"off_epoch": 3}}, 3),
        ({"MixupCutmixOperator": {"prob": 0}}, 0),
    ):
        images, targets = mixed(op, epoch=epoch)
        np.testing.assert_array_equal(images, original)
        np.testing.assert_array_equal(targets, np.eye(CLASSES)[labels])
    assert not np.array_equal(mixed({"MixupOperator": {"off_epoch": 3}}, epoch=2)[0], original)


@pytest.mark.parametrize("name", ["MixupCutmixOperator", "MixupOperator", "CutmixOperator"])
@pytest.mark.parametrize("count", [0, 1])
def test_batches_too_small_to_mix_stay(name, count):
    images, targets = mixed({name: None}, count=count)
    np.testing.assert_array_equal(images, batch(count)[0])
    assert targets.shape == (count, CLASSES)


def test_sides_of_boxes_stay_within_their_limits():
    op = {"MixupCutmixOperator": {"mixup_alpha": 0, "cutmix_minmax": [0.3, 0.6]}}
    for seed in range(50):
        images, _ = mixed(op, seed, count=2, side=20)
        rows, columns = np.nonzero(images[0, 0] == 2)
        for sides in (rows, columns):
            assert 6 <= sides.max() - sides.min() + 1 <= 12


def test_without_correction_lambda_is_what_was_drawn():
    op = {"MixupCutmixOperator": {"mixup_alpha": 0, "correct_lam": False}}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rng.random()  # whether the batch is mixed
        assert mixed(op, seed, count=2)[1][0, 0] == pytest.approx(rng.beta(1.0, 1.0), rel=1e-6)


def test_one_after_the_other():
    """Two operators: the second mixes what the first gave."""
    ops = [{"MixupOperator": {"alpha": 1.0}}, {"MixupCutmixOperator": {"mixup_alpha": 0}}]
    images, labels = batch(5, 12)
    targets = BatchCompose(ops, CLASSES)(images, labels, 0, np.random.default_rng(0))
    np.testing.assert_allclose(images.mean((1, 2, 3)), targets @ (1 + np.arange(5)), rtol=1e-4)


@pytest.mark.parametrize(
    "op",
    [
        {"MixupOperator": None},
        {"CutmixOperator": None},
        *({"MixupCutmixOperator": {"mode": m}} for m in ("batch", "elem")),
    ],
    ids=str,
)
def test_a_batch_is_copied_once_at_most(op):
    images, labels = batch(64, 64)
    compose = BatchCompose([op], CLASSES)
    tracemalloc.start()
    for seed in range(4):
        compose(images, labels, 0, np.random.default_rng(seed))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * images.nbytes


@pytest.mark.parametrize(
    ("op", "message"),
    [
        ({"OpSampler": {"MixupOperator": {"alpha": 1}}}, "MixupOperator: prob is missing"),
        ({"OpSampler": {"MixupOperator": {"alfa": 1, "prob": 1}}}, "unknown argument 'alfa'; did you mean 'alpha'?"),
        ({"OpSampler": {"MixOperator": {"prob": 1}}}, "unknown argument 'MixOperator'; did you mean 'MixupOperator'?"),
        ({"OpSampler": {"MixupOperator": {"prob": 0.7}, "CutmixOperator": {"prob": 0.7}}}, "add up to 1.4"),
        ({"OpSampler": None}, "give it, or CutmixOperator"),
        ({"OpSampler": {"MixupOperator": {}}}, "MixupOperator: prob is missing"),
        ({"OpSampler": {"MixupOperator": {"prob": "x"}}}, "MixupOperator: prob: must be a number from 0 to 1, not 'x'"),
        ({"OpSampler": {"CutmixOperator": {"prob": 1, "class_num": 7}}}, "class_num: is 7, but Arch.class_num is 5"),
        ({"OpSampler": {"MixupOperator": {"prob": 1}, "class_num": 7}}, "class_num: is 7, but Arch.class_num is 5"),
        ({"MixupOperator": {}, "CutmixOperator": {}}, "must be one `name: arguments` map"),
        ({"MixupOperator": {"alpha": 0}}, "alpha: must be a positive number"),
        ({"MixupOperator": {"class_num": 7}}, "class_num: is 7, but Arch.class_num is 5"),
        ({"MixupCutmixOperator": {"mode": "sample"}}, "mode: must be one of 'batch', 'pair', 'elem'"),
        ({"MixupCutmixOperator": {"mixup_alpha": 0, "cutmix_alpha": 0}}, "there is nothing to mix"),
        ({"MixupCutmixOperator": {"cutmix_minmax": [0.5]}}, "cutmix_minmax: must be"),
    ],
)
def test_mistakes(op, message):
    with pytest.raises(ConfigError, match=r"batch_transform_ops\[0\]") as caught:
        BatchCompose([op], CLASSES)
    assert message in str(caught.value)


def test_names():
    names = {"CutmixOperator", "MixupCutmixHybrid", "MixupCutmixOperator", "MixupOperator", "OpSampler"}
    assert set(BATCH_TRANSFORMS.names()) == names


def loader(folder, workers, sampler=None, op=None, **replicas):
    section = {
        "dataset": {
            "name": "ImageNetDataset",
            "image_root": str(folder),
            "cls_label_path": f"{folder}/train_list.txt",
            "transform_ops": [
                {"DecodeImage": None},
                {"RandFlipImage": None},
                {"NormalizeImage": {"order": ""}},
                {"ToCHWImage": None},
            ],
            "batch_transform_ops": [op or {"MixupCutmixOperator": None}],
        },
        "sampler": {"batch_size": 16, **(sampler or {"shuffle": True})},
        "loader": {"num_workers": workers},
    }
    return build_loader(section, train=True, seed=3, class_num=10, **replicas)


def test_mixing_depends_on_the_batch_alone(digits):
    """Not on the number of workers, nor on where an epoch was resumed; epochs and processes differ."""

    def collect(workers, epoch=1, start=0, **replicas):
        with loader(digits, workers, **replicas) as batches:
            return [(b.images.copy(), b.targets, b.labels) for b in batches.epoch(epoch, start)]

    whole = collect(0)
    for other in (collect(1), collect(2), collect(0, start=5)):
        for ours, theirs in zip(whole[-len(other) :], other):
            for left, right in zip(ours, theirs):
                np.testing.assert_array_equal(left, right)
    assert not np.array_equal(whole[0][1], collect(0, epoch=2)[0][1])
    first, second = (collect(0, rank=rank, num_replicas=2) for rank in (0, 1))
    lams = [{round(float(v), 5) for v in part[0][1].ravel()} for part in (first, second)]
    assert lams[0] != lams[1]
    for _, targets, labels in whole:
        assert targets.shape == (len(labels), 10)
        assert (targets[np.arange(len(labels)), labels] > 0).mean() > 0.9


def test_repeats_are_spread_over_processes_and_augmented_differently(digits):
    parts = []
    for rank in range(3):
        sampler = {"name": "RASampler", "num_repeats": 3, "shuffle": True}
        with loader(digits, 0, sampler, rank=rank, num_replicas=3) as batches:
            parts.append(list(batches.sampler.batches(0)))
    indices = [np.concatenate(part) % 120 for part in parts]
    for left, right in zip(indices, indices[1:]):
        np.testing.assert_array_equal(left, right)  # every process has every sample, at the same time
    assert len(np.unique(indices[0])) == 40  # a third of 120
    assert [set(np.concatenate(part) // 120) for part in parts] == [{0}, {1}, {2}]
    with loader(digits, 0, {"name": "RASampler"}) as batches:
        draws = batches.sampler.batches(0)[0]
        assert (draws[0] % 120, draws[1] % 120, draws[0] // 120, draws[1] // 120) == (draws[0], draws[0], 0, 1)
        images = [batches._samples.load_image(0, int(draws[0] + 120 * repeat)) for repeat in range(8)]
        assert len({image.tobytes() for image in images}) == 2  # mirrored or not


@pytest.mark.parametrize("name", ["RASampler", "ClassBalancedSampler"])
def test_workers_change_no_draw(digits, name):
    def collect(workers):
        with loader(digits, workers, {"name": name}) as batches:
            return [(b.images.copy(), b.indices, b.labels, b.targets) for b in batches.epoch(1)]

    for ours, theirs in zip(collect(0), collect(2)):
        for left, right in zip(ours, theirs):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("sampler", [{"name": "RASampler"}, {"name": "ClassBalancedSampler"}])
def test_an_evaluation_takes_every_image_once(digits, sampler):
    section = {
        "dataset": {
            "name": "ImageNetDataset",
            "image_root": str(digits),
            "cls_label_path": f"{digits}/val_list.txt",
            "transform_ops": [],
        },
        "sampler": {"batch_size": 4, **sampler},
    }
    with pytest.raises(ConfigError, match=f"{sampler['name']} is for training: it repeats images"):
        build_loader(section, train=False, seed=0, class_num=10)


@pytest.mark.parametrize("name", ["RASampler", "ClassBalancedSampler"])
@pytest.mark.parametrize("length", [24, 22])
def test_processes_share_the_batches_of_one(name, length):
    labels = np.arange(length) % 3

    def draws(batch_size, num_replicas=1, rank=0):
        injected = {"length": length, "seed": 5, "num_replicas": num_replicas, "rank": rank, "labels": labels}
        return SAMPLERS.build(name, {"batch_size": batch_size, "shuffle": True}, **injected).batches(7)

    alone = draws(8)
    assert sum(map(len, alone)) == length
    for replicas in (2, 4):
        ranks = [draws(8 // replicas, replicas, rank) for rank in range(replicas)]
        for whole, parts in zip(alone, zip(*ranks)):
            assert sorted(np.concatenate(parts)) == sorted(whole)
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("name", ["RASampler", "ClassBalancedSampler"])
def test_samplers_that_draw_refuse_a_fixed_order(name):
    injected = {"length": 9, "seed": 0, "num_replicas": 1, "rank": 0, "labels": np.zeros(9, np.int64)}
    with pytest.raises(ConfigError, match=f"{name}: shuffle: false"):
        SAMPLERS.build(name, {"batch_size": 2, "shuffle": False}, **injected)
    if name == "RASampler":
        with pytest.raises(ConfigError, match="num_repeats: must be a whole number of at least 1, not 0"):
            SAMPLERS.build(name, {"batch_size": 2, "num_repeats": 0}, **injected)


def test_a_batch_has_random_numbers_of_its_own(digits):
    """Not those of the sample that has the batch's number."""
    op = {"MixupCutmixOperator": {"cutmix_alpha": 0}}
    with loader(digits, 0, op=op) as batches:
        found = [{round(float(share), 5) for share in batch.targets.ravel()} for batch in batches.epoch(0)]
    assert len(found) == 8
    for number, shares in enumerate(found):
        rng = sample_rng(3, 0, number)
        rng.random()  # whether the batch is mixed
        assert round(rng.beta(0.8, 0.8), 5) not in shares


def test_classes_are_drawn_evenly():
    labels = np.array([0] * 90 + [1] * 8 + [2] * 2)
    make = lambda **kw: ClassBalancedSampler(10, length=100, seed=1, labels=labels, **kw)  # noqa: E731
    draws = np.concatenate(make().batches(0))
    counts = np.bincount(labels[draws % 100], minlength=3)
    assert sorted(counts) == [33, 33, 34]
    assert len(np.unique(draws)) == 100  # every repeat is a draw of its own
    twos = np.bincount((draws % 100)[labels[draws % 100] == 2])[98:]
    assert abs(int(twos[0]) - int(twos[1])) <= 1
    both = [np.concatenate(make(num_replicas=2, rank=rank).batches(0)) for rank in (0, 1)]
    assert sorted(np.concatenate(both)) == sorted(draws)
    assert not np.array_equal(draws, np.concatenate(make().batches(1)))
