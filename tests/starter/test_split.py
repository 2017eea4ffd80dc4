"""The two parts of a data set, as lists in the run's folder."""

import pytest

from ppcls.data.build import build_dataset
from ppcls.data.folder_layout import find_layout
from ppcls.errors import DataError
from ppcls.starter.split import make_parts
from ppcls.starter.survey import survey
from tests.starter.folders import colours


def parts_of(root, run, fraction=0.25):
    run.mkdir()
    return make_parts(survey(find_layout(root), "cpu", workers=1), fraction, run)


def files(section):
    return set(build_dataset(section, train=True).files())


def test_class_folders_are_split(tmp_path):
    root, run = colours(tmp_path / "photos", 8), tmp_path / "run"
    parts = parts_of(root, run)
    assert (parts.num_train, parts.num_val) == (18, 6)
    train, val = (build_dataset(section, train=True) for section in (parts.train, parts.val))
    assert train.class_names == val.class_names == ["bee", "cat", "dog"]
    assert val.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert not files(parts.train) & files(parts.val)
    assert {*files(parts.train), *files(parts.val)} == {str(path) for path in root.rglob("*.png")}
    assert sorted(path.name for path in run.iterdir()) == ["labels.txt", "train_list.txt", "val_list.txt"]
    again = parts_of(root, tmp_path / "again")
    assert files(again.val) == files(parts.val)


def test_near_copies_stay_together(tmp_path):
    root = colours(tmp_path / "photos", 8)
    for index in range(4):
        (root / "cat" / f"copy{index}.png").write_bytes((root / "cat" / "1.png").read_bytes())
    parts = parts_of(root, tmp_path / "run", 0.4)
    copies = {str(root / "cat" / name) for name in ("1.png", *(f"copy{index}.png" for index in range(4)))}
    assert copies <= files(parts.train) or copies <= files(parts.val)
    assert "5 near copies are kept on one side" in parts.notes


def test_broken_images_are_left_out(tmp_path):
    root = colours(tmp_path / "photos", 8)
    (root / "dog" / "3.png").write_bytes(b"broken")
    parts = parts_of(root, tmp_path / "run")
    assert str(root / "dog" / "3.png") not in files(parts.train) | files(parts.val)
    (note,) = [note for note in parts.notes if "cannot be read" in note]
    assert str(root / "dog" / "3.png") in note


def test_broken_images_of_parts_that_are_there(tmp_path):
    for part, count in (("train", 4), ("val", 3)):
        colours(tmp_path / part, count)
    (tmp_path / "train" / "bee" / "1.png").write_bytes(b"broken")
    (tmp_path / "val" / "dog" / "2.png").write_bytes(b"broken")
    parts = parts_of(tmp_path, tmp_path / "run")
    assert (parts.num_train, parts.num_val) == (11, 8)
    val = build_dataset(parts.val, train=False)
    assert val.class_names == ["bee", "cat", "dog"]
    assert val.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]


def test_parts_that_are_whole_are_used_as_they_are(tmp_path):
    for part in ("train", "val"):
        colours(tmp_path / part, 2)
    parts = parts_of(tmp_path, tmp_path / "run")
    assert parts.train == {"name": "ImageFolder", "image_root": str(tmp_path / "train")}
    assert parts.val == {"name": "ImageFolder", "image_root": str(tmp_path / "val")}
    assert list((tmp_path / "run").iterdir()) == []


def test_a_class_without_readable_images(tmp_path):
    root = colours(tmp_path / "photos", 3)
    for path in (root / "cat").iterdir():
        path.write_bytes(b"broken")
    with pytest.raises(DataError, match="is left to train with in 1 of 3 classes: cat"):
        parts_of(root, tmp_path / "run")
