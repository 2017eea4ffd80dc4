"""Folders whose folders are the classes."""

import pytest

from ppcls.data.datasets import DATASETS
from ppcls.errors import DataError
from tests.helpers.images import encode, picture


def folder_tree(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode(picture(), ".png"))
    return str(folder)


def test_image_folder(tmp_path):
    names = ["b/2.PNG", "b/deep/er/1.png", "a/x.png", "c/.hidden.png", "c/y.png", ".git/z.png"]
    dataset = DATASETS.build("ImageFolder", {"image_root": folder_tree(tmp_path, *names)})
    (tmp_path / "b" / "notes.txt").write_text("no image")
    assert dataset.class_names == ["a", "b", "c"]
    assert dataset.labels.tolist() == [0, 1, 1, 2]
    found = [dataset.describe(i) for i in range(4)]
    assert found == [str(tmp_path / name) for name in ("a/x.png", "b/2.PNG", "b/deep/er/1.png", "c/y.png")]
    assert dataset.read(1) == (tmp_path / "b/2.PNG").read_bytes()


def test_image_folder_with_a_link_in_a_circle(tmp_path):
    root = folder_tree(tmp_path, "a/x.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a")
    assert len(DATASETS.build("ImageFolder", {"image_root": root})) == 1


def test_image_folder_mistakes(tmp_path):
    with pytest.raises(DataError, match="contains no folders; one per class"):
        DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})
    (tmp_path / "photo.jpg").symlink_to("nowhere")  # in a class, not beside classes
    with pytest.raises(DataError, match="If it is a class itself, give the folder that it is in"):
        DATASETS.build("ImageFolder", {"image_root": str(tmp_path)})
    (tmp_path / "photo.jpg").unlink()
    root = folder_tree(tmp_path, "a/x.png")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"no images .* in the class folder bare"):
        DATASETS.build("ImageFolder", {"image_root": root})


@pytest.mark.parametrize(
    ("names", "are_splits"),
    [(["train", "val"], True), (["Train"], True), (["a", "test", "valid"], True), (["bus", "train"], False)],
)
def test_splits_are_no_classes(tmp_path, names, are_splits):
    root = folder_tree(tmp_path, *(f"{name}/x.png" for name in names))
    if not are_splits:
        assert DATASETS.build("ImageFolder", {"image_root": root}).class_names == names
        return
    with pytest.raises(
        DataError, match=r"((T|t)rain|val|test|valid|, )+ are splits of a data set; give one of them \(/"
    ):
        DATASETS.build("ImageFolder", {"image_root": root})
