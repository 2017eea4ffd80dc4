"""Folds of a cross-validation."""

import numpy as np
import pytest

from ppcls.data.datasets import ImageFolder, MultiLabelDataset
from ppcls.data.inspection.scanning import scan_images
from ppcls.errors import DataError
from ppcls.tuning.folds import make_folds
from tests.helpers.class_folders import fill
from tests.helpers.images import encode, picture


def folds_of(dataset, count, seed=0):
    return make_folds(dataset, scan_images(dataset, workers=1), count, seed)


def test_every_image_is_in_one_fold_and_classes_are_spread(tmp_path):
    fill(tmp_path, ["a", "b"], 7)
    fill(tmp_path, ["c"], 3)
    dataset = ImageFolder(str(tmp_path))
    folds = folds_of(dataset, 3)
    assert sorted(index for part in folds.members for index in part) == list(range(17))
    counts = np.array([np.bincount(dataset.labels[part], minlength=3) for part in folds.members])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    assert counts.sum(1).max() - counts.sum(1).min() <= 2
    assert folds.rest(0) == sorted([*folds.members[1], *folds.members[2]])
    assert folds_of(dataset, 3).members == folds.members
    assert folds_of(dataset, 3, seed=1).members != folds.members


def test_near_copies_stay_together_and_broken_images_are_left_out(tmp_path):
    fill(tmp_path, ["a", "b"], 6)
    for number in range(6):  # each picture of a again, of lower quality, and one as another class
        content = (tmp_path / "a" / f"{number}.jpg").read_bytes()
        (tmp_path / ("b" if number == 0 else "a") / f"copy{number}.jpg").write_bytes(content + b"\0")
    (tmp_path / "b" / "broken.jpg").write_bytes(encode(picture(), ".jpg")[:-400])
    dataset = ImageFolder(str(tmp_path))
    names = [dataset.describe(index) for index in range(len(dataset))]
    folds = folds_of(dataset, 3)
    assert folds.near_duplicates == 12
    assert [names[index] for index, _ in folds.broken] == [str(tmp_path / "b" / "broken.jpg")]
    assert sorted(index for part in folds.members for index in part) == [
        index for index, name in enumerate(names) if "broken" not in name
    ]
    fold_of = {names[index].rsplit("/", 1)[1]: number for number, part in enumerate(folds.members) for index in part}
    a = {
        names[index].rsplit("/", 1)[1]: number
        for number, part in enumerate(folds.members)
        for index in part
        if "/a/" in names[index]
    }
    assert all(fold_of[f"copy{number}.jpg"] == a[f"{number}.jpg"] for number in range(6))


def test_several_classes_per_image(tmp_path):
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 4)) < [0.5, 0.3, 0.15, 0.15]).astype(int)
    lines = []
    for index, row in enumerate(labels):
        (tmp_path / f"{index}.png").write_bytes(encode(picture(24, 24, index), ".png"))
        lines.append(f"{index}.png\t{','.join(map(str, row))}\n")
    (tmp_path / "list.txt").write_text("".join(lines))
    folds = folds_of(MultiLabelDataset(str(tmp_path), str(tmp_path / "list.txt")), 3)
    assert sorted(index for part in folds.members for index in part) == list(range(60))
    counts = np.array([labels[part].sum(0) for part in folds.members])
    assert (counts.max(0) - counts.min(0) <= 2).all()


def test_a_class_of_copies_cannot_be_divided(tmp_path):
    fill(tmp_path, ["a", "b"], 6)
    (tmp_path / "same").mkdir()
    for number in range(4):
        (tmp_path / "same" / f"{number}.png").write_bytes(encode(picture(seed=99), ".png"))
    with pytest.raises(DataError, match="same: all images of a class are near copies"):
        folds_of(ImageFolder(str(tmp_path)), 3)


def test_too_few_images(tmp_path):
    fill(tmp_path, ["a", "b"], 2)
    with pytest.raises(DataError, match="do not suffice for 5 folds"):
        folds_of(ImageFolder(str(tmp_path)), 5)
