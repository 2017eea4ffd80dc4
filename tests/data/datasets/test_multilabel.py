"""Lists of images with several classes each, and what is said about malformed ones."""

import numpy as np
import pytest

from ppcls.data import build_dataset
from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.datasets import DATASETS, check_labels
from ppcls.data.samplers import ClassBalancedSampler
from ppcls.errors import ConfigError, DataError

GOOD = "image 01.png\t1,0,1\n\nimage 00.png\t0,0,0\n"


def image_list(folder, content, **arguments):
    """Return the data set of a list with this content."""
    path = folder / "some_list.txt"
    path.write_text(content)
    return DATASETS.build("MultiLabelDataset", {"image_root": str(folder), "cls_label_path": str(path), **arguments})


@pytest.mark.parametrize(
    "content, delimiter",
    [
        (GOOD, "\t"),
        ("image 01.png 1,0,1\r\nimage 00.png 0,0,0", " "),
        ("image 01.png;1, 0, 1\nimage 00.png; 0,0,0\n", ";"),
    ],
    ids=["tab", "space", "semicolon"],
)
def test_labels_are_a_row_per_image(images, content, delimiter):
    dataset = image_list(images, content, delimiter=delimiter)
    assert dataset.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert dataset.labels.dtype == np.float32
    assert dataset.is_multilabel
    assert [dataset.classes(index) for index in range(2)] == [(0, 2), ()]
    assert dataset.label_ratio.tolist() == [0.5, 0, 0.5]
    assert dataset.describe(1) == str(images / "image 00.png")
    assert dataset.read(0) == (images / "image 01.png").read_bytes()
    check_labels(dataset, 3)


def test_a_tab_separates_by_default(images):
    dataset = image_list(images, GOOD)
    assert len(dataset) == 2
    assert [dataset.where(index).rsplit(":")[-1] for index in range(2)] == ["1", "3"]


def test_the_ratio_is_given_unless_it_is_switched_off(images):
    assert image_list(images, GOOD, label_ratio=False).label_ratio is None


def test_class_names_stand_beside_the_list(images):
    (images / "labels.txt").write_text("0 even\n1 prime\n2 large\n")
    assert image_list(images, GOOD).class_names == ["even", "prime", "large"]


def test_the_digest_covers_the_labels(images):
    assert image_list(images, GOOD).digest() != image_list(images, GOOD.replace("0,0,0", "0,0,1")).digest()


@pytest.mark.parametrize(
    "content, problem",
    [
        ("image 00.png\t0,2,1\n", r"some_list.txt:1: label '2' is not 0 or 1: 'image 00.png\\t0,2,1'"),
        ("image 00.png\t0,-1\n", r"some_list.txt:1: label '-1' is not 0 or 1"),
        ("image 00.png\t0,0.5\n", r"some_list.txt:1: label '0.5' is not 0 or 1"),
        ("image 00.png\t0,,1\n", r"some_list.txt:1: label '' is not 0 or 1"),
        ("image 00.png\t0,1\n\nimage 01.png\t1\n", r"some_list.txt:3: 1 labels, and the first image has 2"),
        ("image 00.png\t3\n", r"some_list.txt:1: label '3' is not 0 or 1"),
        ("image 00.png 0,1\n", r"some_list.txt:1: not a path and labels such as 1,0,1 with a tab between"),
        ("\t0,1\n", r"some_list.txt:1: not a path and labels"),
        ("\n", "lists no images"),
        ("image 99.png\t0,1\n", r"1 of 1 images of .* are missing:\n  .*some_list.txt:1: .*image 99.png"),
    ],
)
def test_malformed_lines_are_named(images, content, problem):
    with pytest.raises(DataError, match=problem):
        image_list(images, content)


def test_wrong_arguments(images):
    with pytest.raises(ConfigError, match="delimiter: must not be empty"):
        image_list(images, GOOD, delimiter="")
    with pytest.raises(DataError, match=r"image_root: .*no such folder"):
        image_list(images, GOOD, image_root=str(images / "none"))
    with pytest.raises(DataError, match=r"cls_label_path: .*no such file"):
        image_list(images, GOOD, cls_label_path=str(images / "none.txt"))
    with pytest.raises(ConfigError, match="unknown argument 'relabel'"):
        image_list(images, GOOD, relabel=True)


def test_another_number_of_classes_than_the_model_has(images):
    with pytest.raises(DataError, match=r"some_list.txt:1: labels of 3 classes, and Arch.class_num is 4; set Arch"):
        check_labels(image_list(images, GOOD), 4)


def test_a_list_of_several_classes_for_one(images):
    (images / "some_list.txt").write_text(GOOD)
    section = {"name": "ImageNetDataset", "image_root": str(images), "cls_label_path": str(images / "some_list.txt")}
    with pytest.raises(DataError, match=r"label '1,0,1' is not a whole number.*use MultiLabelDataset"):
        build_dataset(section, train=True)


def test_mixing_takes_the_share_of_the_images_that_have_a_class():
    compose = BatchCompose([{"MixupOperator": {"alpha": 1.0}}], 3)
    labels = np.array([[1, 0, 1], [0, 0, 1]], np.float32)
    images = np.stack([np.zeros((3, 4, 4), np.float32), np.ones((3, 4, 4), np.float32)])
    for seed in range(10):
        mixed = images.copy()
        targets = compose(mixed, labels, 0, np.random.default_rng(seed))
        share_of_first = 1 - mixed[:, 0, 0, 0]
        np.testing.assert_allclose(targets, share_of_first[:, None] * [[1, 0, 0]] + [[0, 0, 1]], atol=1e-6)
        if not np.array_equal(mixed, images):
            break
    else:
        raise AssertionError("no batch was mixed")
    assert labels.tolist() == [[1, 0, 1], [0, 0, 1]]


def test_a_class_balanced_sampler_needs_one_class_per_image():
    with pytest.raises(ConfigError, match="ClassBalancedSampler draws by the class of an image, and these"):
        ClassBalancedSampler(2, length=2, seed=0, labels=np.array([[1, 0], [1, 1]]))
