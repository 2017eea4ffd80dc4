"""Which layout the images of a folder have, and the sections of a recipe that read them."""

import pytest

from ppcls.data.build import build_dataset
from ppcls.data.folder_layout import find_layout
from ppcls.data.packing import PackOptions, pack
from ppcls.errors import DataError
from tests.helpers.class_folders import fill
from tests.helpers.images import encode, picture


def test_class_folders(tmp_path):
    layout = find_layout(fill(tmp_path / "photos", ["rose", "daisy"], 3))
    assert (layout.kind, layout.val, layout.val_counts) == ("classes", None, {})
    assert layout.train == {"name": "ImageFolder", "image_root": str(tmp_path / "photos")}
    assert layout.class_names == ["daisy", "rose"]
    assert layout.counts == {"daisy": 3, "rose": 3}
    assert layout.num_classes == 2
    assert len(build_dataset(layout.train, train=True)) == 6


@pytest.mark.parametrize("names", [("train", "val"), ("Train", "Validation"), ("training", "test")])
def test_split_folders(tmp_path, names):
    train, val = (tmp_path / name for name in names)
    fill(train, ["a", "b", "c"], 2)
    fill(val, ["a", "b"], 1)
    layout = find_layout(tmp_path)
    assert layout.kind == "train_val"
    assert layout.train == {"name": "ImageFolder", "image_root": str(train)}
    assert layout.val == {"name": "ImageFolder", "image_root": str(val)}
    assert layout.counts == {"a": 2, "b": 2, "c": 2}
    assert layout.val_counts == {"a": 1, "b": 1}
    assert ["chooses the best epoch" in note for note in layout.notes] == [True] * (names[1] == "test")


def test_a_test_folder_is_not_used_beside_a_validation_folder(tmp_path):
    for name in ("train", "test", "valid"):
        fill(tmp_path / name, ["a", "b"], 1)
    layout = find_layout(tmp_path)
    assert layout.val["image_root"] == str(tmp_path / "valid")
    assert layout.notes == ["not used: test"]


def test_training_images_alone(tmp_path):
    fill(tmp_path / "train", ["a", "b"], 2)
    layout = find_layout(tmp_path)
    assert (layout.kind, layout.val) == ("classes", None)
    assert layout.train["image_root"] == str(tmp_path / "train")


def test_a_class_may_be_called_train(tmp_path):
    layout = find_layout(fill(tmp_path, ["bus", "train"], 2))
    assert (layout.kind, layout.class_names) == ("classes", ["bus", "train"])


def test_lists_come_before_folders(digits, tmp_path):
    layout = find_layout(digits)  # it has folders train and val, too, without classes
    assert layout.kind == "list"
    assert layout.train["cls_label_path"] == str(digits / "train_list.txt")
    assert layout.val == {
        "name": "ImageNetDataset",
        "image_root": str(digits),
        "cls_label_path": str(digits / "val_list.txt"),
    }
    assert layout.class_names == [f"digit-{number}" for number in range(10)]
    assert sum(layout.counts.values()) == 120
    assert sum(layout.val_counts.values()) == 40
    alone = find_layout(digits / "train_list.txt")
    assert (alone.kind, alone.val, alone.train) == ("list", None, layout.train)


def test_labels_that_do_not_count_from_0(tmp_path):
    lines = []
    for label in (1, 2, 5):
        (tmp_path / f"{label}.png").write_bytes(encode(picture(seed=label), ".png"))
        lines.append(f"{label}.png {label}\n")
    (tmp_path / "all_list.txt").write_text("".join(lines))
    layout = find_layout(tmp_path)
    assert layout.class_names is None
    assert layout.counts == {"1": 1, "2": 1, "5": 1}
    assert build_dataset(layout.train, train=True).labels.tolist() == [0, 1, 2]
    assert layout.notes == ["the labels are not 0, 1, 2, ...: renumbered in their order (1, 2, 5)"]


def test_a_list_of_several_labels(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(encode(picture(), ".png"))
    (tmp_path / "train_list.txt").write_text("a.png\t1,0,1\nb.png\t0,0,1\n")
    (tmp_path / "labels.txt").write_text("hat\ncoat\nshoe\n")
    layout = find_layout(tmp_path)
    assert layout.is_multilabel
    assert layout.train["name"] == "MultiLabelDataset"
    assert layout.counts == {"hat": 1, "coat": 0, "shoe": 2}


def test_shards(digits, tmp_path):
    for split in ("train", "val"):
        options = PackOptions(str(digits), str(digits / f"{split}_list.txt"), prefix=split, shard_samples=50)
        pack(options, tmp_path, workers=1)
    layout = find_layout(tmp_path)
    assert layout.kind == "shards"
    assert layout.train == {"name": "ShardDataset", "image_root": str(tmp_path), "shards": "train-*.tar"}
    assert layout.val["shards"] == "val-*.tar"
    assert layout.class_names[3] == "digit-3"
    assert (sum(layout.counts.values()), sum(layout.val_counts.values())) == (120, 40)


def test_images_without_classes(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(picture(), ".jpg"))
    with pytest.raises(
        DataError, match=r"has images and no folders: nothing says their classes\. Make one folder per class"
    ):
        find_layout(tmp_path)
    with pytest.raises(DataError, match="is one image; give a folder"):
        find_layout(tmp_path / "a.jpg")


def test_folders_without_images(tmp_path):
    with pytest.raises(DataError, match=r"missing: no such file or folder \(looked for from"):
        find_layout(tmp_path / "missing")
    with pytest.raises(DataError, match=r"is empty; put images there: one folder per class; train/ and val/"):
        find_layout(tmp_path)
    (tmp_path / "readme.md").write_text("text")
    with pytest.raises(DataError, match=r"no images in it \(\.jpg .*needed are one folder per class"):
        find_layout(tmp_path)
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "a.txt").write_text("text")
    with pytest.raises(DataError, match=r"no images .* in any of its 1 folders"):
        find_layout(tmp_path)


def test_one_class(tmp_path):
    fill(tmp_path, ["daisy"], 2)
    with pytest.raises(DataError, match=r"has one class, daisy; at least two are needed"):
        find_layout(tmp_path)


def test_a_folder_in_a_folder(tmp_path):
    """As archives unpack: photos/photos/daisy."""
    inner = fill(tmp_path / "photos" / "photos", ["daisy", "rose"], 2)
    with pytest.raises(DataError, match=rf"its folders \(daisy, rose\) may be the classes: give {inner}"):
        find_layout(tmp_path / "photos")


def test_which_list_is_for_training(tmp_path):
    (tmp_path / "a_list.txt").write_text("x.png 0\n")
    (tmp_path / "b_list.txt").write_text("x.png 0\n")
    with pytest.raises(DataError, match=r"which of its lists \(a_list.txt, b_list.txt\) is for training"):
        find_layout(tmp_path)


def test_validation_of_unknown_classes(tmp_path):
    fill(tmp_path / "train", ["a", "b"], 1)
    fill(tmp_path / "val", ["a", "tulip"], 1)
    with pytest.raises(DataError, match="has classes that the training part does not have: tulip"):
        find_layout(tmp_path)


def test_no_folder_to_train_with(tmp_path):
    fill(tmp_path / "val", ["a", "b"], 1)
    fill(tmp_path / "test", ["a", "b"], 1)
    with pytest.raises(DataError, match="has test, val, and no folder train"):
        find_layout(tmp_path)
