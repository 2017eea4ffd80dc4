"""The batch that a report shows, as the model saw it."""

import numpy as np
import pytest

from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.loader import Batch
from ppcls.engine import load_config
from ppcls.report.seen_batch import SeenBatch, mixed_rows
from tests.report.pages import Page

KEY = "DataLoader.Train.dataset.batch_transform_ops"


def batch(ops, classes, size=16, epoch=0):
    """Return a batch of random images after batch transforms."""
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(size, 3, 8, 8)).astype("float32"), np.arange(size) % classes
    targets = BatchCompose(ops, classes)(images, labels, epoch, rng) if ops else None
    return Batch(images, labels, np.arange(size), targets=targets)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_smoothing_is_not_mixing(classes):
    smooth = {"MixupCutmixHybrid": {"prob": 0.0, "label_smoothing": 0.1}}
    assert not mixed_rows(batch([smooth], classes)).any()
    assert not mixed_rows(batch([], classes)).any()
    mixing = {"MixupCutmixHybrid": {"cutmix_alpha": 0.0, "mixup_alpha": 100.0, "label_smoothing": 0.1}}
    done = batch([mixing], classes)  # lambda is near 0.5, and the partners are in reverse order
    assert (mixed_rows(done) == (done.labels != done.labels[::-1])).all()


def test_mixed_labels_of_several_classes():
    labels = np.eye(4, dtype=np.int64)
    assert not mixed_rows(Batch(np.zeros((4, 3, 8, 8)), labels, np.arange(4), targets=labels.astype("float32"))).any()
    targets = (0.5 * labels + 0.5 * labels[::-1]).astype("float32")
    assert mixed_rows(Batch(np.zeros((4, 3, 8, 8)), labels, np.arange(4), targets=targets)).all()


def test_the_first_mixed_batch_is_taken(recipe):
    mixup = {"MixupOperator": {"alpha": 100.0, "off_epoch": 1}}
    config = load_config(recipe, {KEY: [mixup]})
    seen, names = SeenBatch(config), [str(label) for label in range(10)]
    for _ in range(3):  # of an epoch that is not mixed
        seen.look(batch([mixup], 10, epoch=1), names)
        assert (len(seen.images), seen.mixed, seen.is_complete) == (16, 0, False)
    assert seen.caption.endswith("The recipe mixes images, but none of the first 3 batches was mixed.")
    assert seen.look(batch([mixup], 10), names)
    assert seen.is_complete
    assert seen.caption.startswith("Images of batch 4, the first one that was mixed, 8 x 8 pixels, after augmentation")
    assert seen.caption.endswith(f" {seen.mixed} of these 16 are mixed with another image.")
    assert [text.count("\n") for _, text in seen.images] == [1] * seen.mixed + [0] * (16 - seen.mixed)


def test_it_gives_up(recipe):
    config = load_config(recipe, {KEY: [{"MixupOperator": {"off_epoch": 1}}]})
    seen = SeenBatch(config)
    looks = 0
    while not seen.is_complete:
        seen.look(batch([], 10), None)
        looks += 1
    assert looks == 32


def test_a_recipe_that_mixes_few_batches(recipe, run):
    """One of five: the first batch is not one of them."""
    mixing = f"{KEY}=[{{OpSampler: {{MixupOperator: {{alpha: 100.0, prob: 0.2}}}}}}]"
    run("train", "-c", recipe, "-o", "Global.report=true", "Global.epochs=4", mixing)
    for _ in range(2):
        page = Page(recipe.parent / "out" / "report.html").check()
        text = page.sections["batch"]
        assert ", the first one that was mixed, 16 x 16 pixels" in text
        assert "of these 16 are mixed with another image." in text
        run("report", recipe.parent / "out")
