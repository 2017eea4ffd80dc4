"""Data sets from real files, and what is said about malformed ones."""

import shutil

import numpy as np
import pytest

from ppcls.data import build_dataset
from ppcls.data.datasets import DATASETS, check_labels
from ppcls.errors import ConfigError, DataError
from ppcls.utils import imagenet


def image_list(folder, content, **arguments):
    """Return the data set of a list with this content."""
    path = folder / "some_list.txt"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return DATASETS.build("ImageNetDataset", {"image_root": str(folder), "cls_label_path": str(path), **arguments})


@pytest.mark.parametrize(
    "content, delimiter",
    [
        (b"image 01.png 1\nimage 00.png 0\n", None),
        (b"\xef\xbb\xbfimage 01.png 1\r\nimage 00.png 0\r\n\r\n  \r\n", None),
        (b"image 01.png\t1\nimage 00.png\t0", None),
        (b"image 01.png 1\nimage 00.png 0", " "),
        (b"image 01.png,1\n\nimage 00.png, 0\n", ","),
        (b"\xef\xbb\xbfimage 01.png;1\r\nimage 00.png;0\r\n", ";"),
        (b"image 01.png\t1\r\nimage 00.png\t0\r\n", "\t"),
        (b"image 01.png :: 1\nimage 00.png::0\n", "::"),
        (b"image 01.png | 1\nimage 00.png | 0\n", " | "),
    ],
    ids=["plain", "mark-crlf-blank", "tabs", "space", "comma", "mark-crlf-semicolon", "tab", "word", "spaced"],
)
def test_list_spellings(images, content, delimiter):
    dataset = image_list(images, content, delimiter=delimiter)
    assert dataset.labels.tolist() == [1, 0]
    assert dataset.labels.dtype == np.int64
    assert [dataset.label(i) for i in range(len(dataset))] == [1, 0]
    assert dataset.describe(1) == str(images / "image 00.png")
    assert dataset.read(0) == (images / "image 01.png").read_bytes()
    assert dataset.class_names is None


def test_lines_are_counted_as_an_editor_does(images):
    dataset = image_list(images, "\n\nimage 00.png 0\n\nimage 01.png 1\n")
    assert [dataset.where(i).rsplit(":")[-1] for i in range(2)] == ["3", "5"]


@pytest.mark.parametrize("delimiter", [None, " ", "\t", ",", "::"])
def test_paths_may_contain_the_delimiter(images, delimiter):
    between = delimiter or " "
    name = f"a{between}photo{between}7.png"
    (images / name).write_bytes(b"x")
    dataset = image_list(images, f"{name}{between}2\r\n", delimiter=delimiter)
    assert (dataset.describe(0), dataset.label(0)) == (str(images / name), 2)


def test_unusual_names(images):
    names = ["ünïcode.png", "a\u2028b.png", "tail\x0b.png"]
    for name in names:
        (images / name).write_bytes(b"x")
    dataset = image_list(images, "".join(f"{name} {i}\n" for i, name in enumerate(names)))
    assert [dataset.describe(i) for i in range(3)] == [str(images / name) for name in names]


def test_absolute_paths(images, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "x.png"
    other.write_bytes(b"y")
    assert image_list(images, f"{other} 0\n").read(0) == b"y"


def test_all_malformed_lines_are_listed(images):
    lines = ["image 00.png 0", "image01.png", "image 02.png -1", "image 03.png 1.5", "7"]
    with pytest.raises(DataError) as caught:
        image_list(images, "\n".join(lines))
    message = str(caught.value)
    assert "4 malformed lines" in message
    assert "some_list.txt:2: not a path and a label with white space between: 'image01.png'" in message
    assert "some_list.txt:3: label '-1' is not a whole number of at least 0" in message
    assert "some_list.txt:4: label '1.5'" in message
    assert "some_list.txt:5: not a path" in message


def test_many_malformed_lines_are_counted(images):
    with pytest.raises(DataError, match=r"(?s)25 malformed lines.*txt:10:.*and 15 more$") as caught:
        image_list(images, "bad\n" * 25)
    assert "txt:11:" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n \n", b"\xef\xbb\xbf"])
def test_empty_list(images, content):
    with pytest.raises(DataError, match="lists no images"):
        image_list(images, content)


def test_other_encodings_are_named_with_their_line(images):
    with pytest.raises(DataError, match=r"some_list.txt:2: not UTF-8"):
        image_list(images, b"image 00.png 0\n\xd6\xd0.png 1\n")


def test_missing_files(images):
    arguments = {"image_root": str(images), "cls_label_path": str(images / "nope.txt")}
    with pytest.raises(DataError, match=r"cls_label_path: .*nope.txt: no such file"):
        DATASETS.build("ImageNetDataset", arguments)
    with pytest.raises(DataError, match=r"image_root: .*nowhere: no such folder"):
        DATASETS.build("ImageNetDataset", {**arguments, "image_root": str(images / "nowhere")})
    with pytest.raises(DataError, match=r"image_root: .*list.txt: is a file, not a folder"):
        DATASETS.build("ImageNetDataset", {**arguments, "image_root": str(images / "list.txt")})


def test_missing_images_are_found_at_the_start(images):
    lines = "".join(f"image {i:02d}.png 0\n" for i in range(40))
    with pytest.raises(DataError, match=r"(?s)17 of 40 images.*some_list.txt:24: .*image 23.png.*and 7 more"):
        image_list(images, lines)
    assert len(image_list(images, lines, on_error="skip")) == 40


def test_missing_images_later_are_found_when_read(images):
    dataset = image_list(images, "image 00.png 0\n" * 100 + "gone.png 0\n")
    with pytest.raises(DataError, match="no such file"):
        dataset.read(100)


def test_relabel(images):
    dataset = image_list(images, "image 00.png 70\nimage 01.png 5\nimage 02.png 70\nimage 03.png 9\n", relabel=True)
    assert dataset.labels.tolist() == [2, 0, 2, 1]
    assert dataset.labels.dtype == np.int64


def test_names_of_renumbered_labels(images):
    content = "image 00.png 2\nimage 01.png 0\nimage 02.png 2\n"
    (images / "labels.txt").write_text("0 daisy\n1 rose\n2 tulip\n")
    assert image_list(images, content, relabel=True).class_names == ["daisy", "tulip"]
    # Labels that count from 1 are not those that the file names.
    dataset = image_list(images, content.replace(" 2", " 3"), relabel=True)
    assert dataset.class_names is None
    assert "has the label 3, and labels.txt (beside it or in image_root) names 0 to 2" in dataset.unused_names


def test_bad_arguments(images):
    with pytest.raises(ConfigError, match="ImageNetDataset: on_error: must be 'error' or 'skip', not 'ignore'"):
        image_list(images, "image 00.png 0", on_error="ignore")
    with pytest.raises(ConfigError, match="delimiter: must not be empty"):
        image_list(images, "image 00.png 0", delimiter="")


@pytest.mark.parametrize(
    "content, names",
    [
        ("0 daisy\n1 sweet pea\n2 rose\n", ["daisy", "sweet pea", "rose"]),
        ("2 rose\r\n0 daisy\r\n1 sweet pea\r\n\r\n", ["daisy", "sweet pea", "rose"]),
        ("daisy\nsweet pea\nrose", ["daisy", "sweet pea", "rose"]),
        ("7\n8\n9\n", ["7", "8", "9"]),
        ("0 7\n1 8\n", ["7", "8"]),
        ("\ufeff0 gänseblümchen\r\n1\tsweet pea\r\n", ["gänseblümchen", "sweet pea"]),
        ("\ufeffdaisy\r\nsweet pea\r\n", ["daisy", "sweet pea"]),
    ],
)
def test_class_names(images, content, names):
    (images / "labels.txt").write_bytes(content.encode())
    assert image_list(images, "image 00.png 0").class_names == names


@pytest.mark.parametrize(
    "content, message",
    [
        ("0 a\n2 b\n", "none for class 1"),
        ("0 a\n0 b\n", "labels.txt:2: class 0 has a name already"),
        ("", "empty"),
        ("a\nb\na\n", "two classes are called 'a'; rename one"),
    ],
)
def test_bad_class_names(images, content, message):
    (images / "labels.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        image_list(images, "image 00.png 0")


def test_two_files_of_class_names_must_agree(images):
    (images / "lists").mkdir()
    (images / "lists" / "list.txt").write_text("image 00.png 0\nimage 01.png 1\n")
    (images / "lists" / "labels.txt").write_text("0 daisy\n1 rose\n")
    arguments = {"image_root": str(images), "cls_label_path": str(images / "lists" / "list.txt")}
    for content in ("1 rose\n0 daisy\n", "daisy\nrose\n"):  # the same, written otherwise
        (images / "labels.txt").write_text(content)
        assert DATASETS.build("ImageNetDataset", arguments).class_names == ["daisy", "rose"]
    (images / "labels.txt").write_text("0 daisy\n1 tulip\n")
    problem = "contradict each other: class 1 is 'rose' in the first, and 'tulip' in the second"
    with pytest.raises(DataError, match=f"{images}/lists/labels.txt and {images}/labels.txt {problem}"):
        DATASETS.build("ImageNetDataset", arguments)
    (images / "labels.txt").write_text("0 daisy\n1 rose\n2 tulip\n")  # of another labelling of the same images
    assert DATASETS.build("ImageNetDataset", arguments).class_names == ["daisy", "rose"]
    # Of several labels per image, the number of classes tells which file is for the list.
    for labels, names in (("0,1,1", ["daisy", "rose", "tulip"]), ("0,1", ["daisy", "rose"])):
        (images / "lists" / "list.txt").write_text(f"image 00.png\t{labels}\n")
        assert DATASETS.build("MultiLabelDataset", arguments).class_names == names
    (images / "labels.txt").write_text("0 rose\n1 daisy\n")
    with pytest.raises(DataError, match="class 0 is 'daisy' in the first, and 'rose' in the second"):
        DATASETS.build("MultiLabelDataset", arguments)


def test_names_of_imagenet_may_have_one_twice(images):
    shutil.copy(imagenet.LABEL_LIST, images / "labels.txt")
    assert image_list(images, "image 00.png 0").class_names.count("crane") == 2


def test_labels_outside_the_model(images):
    dataset = image_list(images, "image 00.png 0\nimage 01.png 1000\nimage 02.png 999\n")
    check_labels(dataset, 1001)
    with pytest.raises(DataError) as caught:
        check_labels(dataset, 1000)
    assert "label 1000 is outside 0..999 (Arch.class_num is 1000)" in str(caught.value)
    assert "some_list.txt:2: label 1000" in str(caught.value)
    assert "some_list.txt:3" not in str(caught.value)


def test_build_dataset_leaves_the_transforms_aside(section):
    assert len(build_dataset(section()["dataset"], train=True)) == 23
    with pytest.raises(ConfigError, match="unknown data set 'Imagenet'; did you mean"):
        build_dataset(section(dataset={"name": "Imagenet"})["dataset"], train=True)


def test_published_lists_load(shared):
    root = shared / "data" / "tiny_flowers"
    arguments = {"image_root": str(root), "cls_label_path": str(root / "train_list.txt")}
    dataset = DATASETS.build("ImageNetDataset", arguments)
    assert len(dataset) == 400
    assert np.bincount(dataset.labels).tolist() == [80] * 5
    assert dataset.class_names == ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
    folders = DATASETS.build("ImageFolder", {"image_root": str(root / "train")})
    assert (folders.class_names, len(folders)) == (dataset.class_names, 400)
