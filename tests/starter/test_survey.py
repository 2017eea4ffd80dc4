"""What is found out about images before a recipe is chosen."""

import cv2
import numpy as np
import pytest

from ppcls.data.folder_layout import find_layout
from ppcls.errors import DataError
from ppcls.starter import survey as surveys
from ppcls.starter.survey import survey
from tests.helpers.class_folders import fill
from tests.starter.folders import colours


def test_facts_of_a_folder(tmp_path):
    found = survey(find_layout(colours(tmp_path / "photos", 6)), "cpu", workers=1)
    assert (found.images, found.num_classes, found.short_side, found.device) == (18, 3, 16, "cpu")
    assert (found.broken, found.val_broken, found.sample) == ([], [], None)
    assert found.mirror.is_symmetric
    assert found.mirror.as_is == 1.0


def write_signs(root, count=20):
    """Write pictures of an L and of its mirror image, at places and in brightnesses that differ."""
    rng = np.random.default_rng(0)
    for name in ("L", "J"):
        (root / name).mkdir(parents=True)
        for index in range(count):
            image = np.full((48, 48), 20, np.uint8)
            top, left = rng.integers(4, 10, 2)
            image[top : top + 30, left + 4 : left + 10] = rng.integers(180, 250)
            image[top + 24 : top + 30, left + 4 : left + 28] = 220
            cv2.imwrite(str(root / name / f"{index}.png"), image if name == "L" else image[:, ::-1])
    return root


def test_mirror_images_of_signs_are_other_signs(tmp_path):
    found = survey(find_layout(write_signs(tmp_path)), "cpu", workers=1)
    assert found.mirror.as_is == 1.0
    assert found.mirror.mirrored < 0.5
    assert not found.mirror.is_symmetric


def test_broken_images_are_found(tmp_path):
    for part in ("train", "val"):
        colours(tmp_path / part, 3)
    (tmp_path / "train" / "bee" / "1.png").write_bytes(b"broken")
    (tmp_path / "val" / "dog" / "2.png").write_bytes(b"broken")
    found = survey(find_layout(tmp_path), "cpu", workers=1)
    assert [found.dataset.describe(index) for index in found.broken] == [str(tmp_path / "train" / "bee" / "1.png")]
    assert found.val_broken == [8]


def test_all_images_broken(tmp_path):
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(DataError, match=r"none of 4 images can be read, such as .*a/1\.jpg: "):
        survey(find_layout(tmp_path), "cpu", workers=1)


def test_one_image_a_class(tmp_path):
    fill(tmp_path, ["a", "b", "c"], 1)
    text = r"3 of 3 classes have fewer than 2 images, and each needs at least one to train with and one to validate"
    with pytest.raises(DataError, match=text):
        survey(find_layout(tmp_path), "cpu", workers=1)


def test_a_sample_of_many(tmp_path, monkeypatch):
    monkeypatch.setattr(surveys, "READ_AT_MOST", 20)
    monkeypatch.setattr(surveys, "_SAMPLE", 10)
    found = survey(find_layout(colours(tmp_path, 8)), "cpu", workers=1)
    assert found.images == 24
    assert len(found.findings) == 10
    assert found.short_side == 16
