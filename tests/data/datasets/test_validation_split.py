"""One folder shared out between training and evaluation inside a recipe."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from ppcls.data import build_dataset, check_validation_split
from ppcls.data.datasets import ImageFolder, folder
from ppcls.errors import ConfigError, DataError

SIZES = {"daisy": 200, "rose": 120, "sweet pea": 60, "thistle": 2}


@pytest.fixture
def flowers(tmp_path):
    """Return a folder of four classes; no image is read, so the files are empty."""
    for name, count in SIZES.items():
        (tmp_path / name).mkdir()
        for index in range(count):
            (tmp_path / name / f"{index:04d}.jpg").touch()
    return tmp_path


def part(root, train, **changes):
    section = {"name": "ImageFolder", "image_root": str(root), "val_fraction": 0.25, **changes}
    dataset = build_dataset(section, train=train)
    return {dataset.describe(index): dataset.label(index) for index in range(len(dataset))}


def test_the_parts_are_disjoint_complete_and_of_the_same_classes(flowers):
    train, val = part(flowers, True), part(flowers, False)
    everything = ImageFolder(str(flowers))
    assert not set(train) & set(val)
    assert {**train, **val} == {everything.describe(i): everything.label(i) for i in range(len(everything))}
    counts = np.bincount(list(val.values()), minlength=4)
    shares = counts / list(SIZES.values())
    # A binomial draw of at least 60 images is within four standard deviations, 0.056 each.
    assert np.abs(shares[:3] - 0.25).max() < 0.22
    assert counts[3] == 1
    for train_side in (True, False):
        section = {"name": "ImageFolder", "image_root": str(flowers), "val_fraction": 0.25}
        assert build_dataset(section, train=train_side).class_names == list(SIZES)


def test_the_parts_depend_on_the_seed_and_the_share_alone(flowers, monkeypatch):
    val = part(flowers, False)
    assert part(flowers, False, split_seed=1) != val
    assert set(val) < set(part(flowers, False, val_fraction=0.5))
    walk = os.walk
    monkeypatch.setattr(folder.os, "walk", lambda *a, **k: ((p, d, f[::-1]) for p, d, f in walk(*a, **k)))
    assert part(flowers, False) == val


def test_a_folder_and_a_link_to_it(flowers, monkeypatch):
    (flowers / "rose" / "red").mkdir()
    for index in range(12):
        (flowers / "rose" / "red" / f"{index}.jpg").touch()
    (flowers / "rose" / "link").symlink_to("red")
    before = part(flowers, True), part(flowers, False)
    walk = os.walk

    def backwards(*arguments, **options):
        for path, folders, files in walk(*arguments, **options):
            folders.reverse()  # what walk was given last is what it enters
            yield path, folders, files

    monkeypatch.setattr(folder.os, "walk", backwards)
    assert (part(flowers, True), part(flowers, False)) == before
    assert sum("/link/" in name for side in before for name in side) == 12


def test_numbers_of_numpy(flowers):
    assert len(ImageFolder(str(flowers), val_fraction=np.float32(0.25), split_seed=np.int64(3)))


def test_two_names_that_are_the_same_to_people(flowers):
    (flowers / "double").mkdir()
    for form in ("NFC", "NFD"):
        (flowers / "double" / unicodedata.normalize(form, "ü.jpg")).touch()
    for train in (True, False):
        with pytest.raises(DataError, match=r"double: all images have one name, written with other Unicode"):
            part(flowers, train)


def test_the_choice_never_changes():
    """Another one in a later release would put images that a network was trained on into its evaluation."""
    names = [f"daisy/{index:04d}.jpg" for index in range(40)]
    chosen = [name for name in names if folder._hash_fraction(name, 7) <= 0.1]
    assert chosen == ["daisy/0003.jpg", "daisy/0025.jpg"]


def test_names_count_as_people_read_them():
    places = {folder._hash_fraction(unicodedata.normalize(form, "rosé/ü.jpg"), 0) for form in ("NFC", "NFD")}
    assert len(places) == 1


def test_more_images_move_nothing(flowers):
    train, val = part(flowers, True), part(flowers, False)
    for index in range(50):
        (flowers / "rose" / f"a new one {index}.png").touch()
    (flowers / "aster").mkdir()  # also another numbering of the classes
    for index in range(8):
        (flowers / "aster" / f"{index}.jpg").touch()
    more_train, more_val = part(flowers, True), part(flowers, False)
    assert set(train) < set(more_train)
    assert set(val) < set(more_val)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_no_side_of_a_class_is_empty(flowers, fraction):
    for train in (True, False):
        assert set(part(flowers, train, val_fraction=fraction).values()) == {0, 1, 2, 3}


def test_mistakes(flowers):
    with pytest.raises(ConfigError, match=r"ImageFolder: val_fraction: must be a finite number or null, not nan"):
        part(flowers, True, val_fraction=float("nan"))
    for fraction in (0, 1, -0.2, 20):
        with pytest.raises(ConfigError, match=r"ImageFolder: val_fraction: must be above 0 and below 1"):
            part(flowers, True, val_fraction=fraction)
    for fraction in ("0.2", [0.2]):
        with pytest.raises(ConfigError, match="val_fraction: must be above 0 and below 1, not"):
            ImageFolder(str(flowers), val_fraction=fraction)
    for seed in (-1, 2**64, 1.5, "1"):
        with pytest.raises(ConfigError, match="split_seed: must be a whole number from 0 to"):
            ImageFolder(str(flowers), split_seed=seed)
    (flowers / "lonely").mkdir()
    (flowers / "lonely" / "1.jpg").touch()
    with pytest.raises(DataError, match="lonely: has one image, and val_fraction needs two per class"):
        part(flowers, True)


def section(**changes):
    return {"name": "ImageFolder", "image_root": "photos", "val_fraction": 0.2, "transform_ops": [], **changes}


@pytest.mark.parametrize(
    ("train", "evaluation", "key"),
    [
        (section(), section(val_fraction=0.1), "val_fraction: 0.2 in DataLoader.Train and 0.1 in DataLoader.Eval"),
        (section(), section(split_seed=1), "split_seed: not given in DataLoader.Train and 1 in DataLoader.Eval"),
        (section(), section(val_fraction=None), "val_fraction: 0.2 in DataLoader.Train and null"),
        (section(val_fraction=None), section(), "val_fraction: null in DataLoader.Train"),
        (section(), section(image_root="elsewhere"), "image_root: 'photos' in DataLoader.Train and 'elsewhere'"),
        (section(), section(name="ImageNetDataset", val_fraction=None), "name: 'ImageFolder' in DataLoader.Train"),
    ],
)
def test_the_two_sections_must_agree(train, evaluation, key):
    with pytest.raises(ConfigError, match=rf"dataset\.{key}"):
        check_validation_split(train, evaluation)


def test_a_share_that_makes_no_sense_is_said_first():
    with pytest.raises(
        ConfigError, match=r"^DataLoader.Eval.dataset.val_fraction: must be above 0 and below 1, not 1.2"
    ):
        check_validation_split(section(), section(val_fraction=1.2))


def test_sections_that_agree(tmp_path):
    check_validation_split(
        section(), section(transform_ops=["other"], split_seed=0, image_root=f"{Path.cwd()}/photos/")
    )
    check_validation_split(section(val_fraction=None), section(val_fraction=None))
    # Another folder is evaluated as a whole.
    check_validation_split(section(), section(image_root="elsewhere", val_fraction=None))
