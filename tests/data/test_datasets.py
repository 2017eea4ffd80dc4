"""Data sets from real files, and what is said about malformed ones."""

import pickle
import struct

import numpy as np
import pytest

from ppcls.data import build_dataset
from ppcls.data.datasets import DATASETS, check_labels
from ppcls.errors import ConfigError, DataError
from tests.data.conftest import encode, picture


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
    with pytest.raises(DataError, match=r"(?s)17 of the first 40 images.*some_list.txt:24: .*image 23.png.*and 7 more"):
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
    [("0 a\n2 b\n", "none for class 1"), ("0 a\n0 b\n", "labels.txt:2: class 0 has a name already"), ("", "empty")],
)
def test_bad_class_names(images, content, message):
    (images / "labels.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        image_list(images, "image 00.png 0")


def test_labels_outside_the_model(images):
    dataset = image_list(images, "image 00.png 0\nimage 01.png 1000\nimage 02.png 999\n")
    check_labels(dataset, 1001)
    with pytest.raises(DataError) as caught:
        check_labels(dataset, 1000)
    assert "label 1000 is outside 0..999 (Arch.class_num is 1000)" in str(caught.value)
    assert "some_list.txt:2: label 1000" in str(caught.value)
    assert "some_list.txt:3" not in str(caught.value)


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
    root = folder_tree(tmp_path, "a/x.png")
    (tmp_path / "bare").mkdir()
    with pytest.raises(DataError, match=r"no images .* in the class folder bare"):
        DATASETS.build("ImageFolder", {"image_root": root})


def cifar_records(count, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 3072), dtype=np.uint8), rng.integers(0, 10, count)


def write_cifar10(folder, binary):
    """Write six small files of the official layout; return pixels [N, 32, 32, 3] and labels of the training ones."""
    folder = folder / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    parts = []
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        pixels, labels = cifar_records(4, number)
        parts.append((pixels, labels))
        if binary:
            records = np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        else:
            content = {b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"x"}
            (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = [b"plane", b"car"]
    if binary:
        (folder / "batches.meta.txt").write_bytes(b"\n".join(names) + b"\n\n")
    else:
        (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}, protocol=2))
    pixels = np.concatenate([p for p, _ in parts[:5]]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return folder, pixels, np.concatenate([labels for _, labels in parts[:5]])


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("inside", [True, False])
def test_cifar10(tmp_path, binary, inside):
    folder, pixels, labels = write_cifar10(tmp_path, binary)
    dataset = DATASETS.build("Cifar10", {"image_root": str(folder if inside else tmp_path)})
    np.testing.assert_array_equal(np.stack([dataset.read(i) for i in range(len(dataset))]), pixels)
    np.testing.assert_array_equal(dataset.labels, labels)
    assert dataset.class_names == ["plane", "car"]
    suffix = ".bin" if binary else ""
    assert dataset.describe(3).endswith(f"data_batch_1{suffix}[3]")
    assert dataset.describe(4).endswith(f"data_batch_2{suffix}[0]")
    assert len(DATASETS.build("Cifar10", {"image_root": str(tmp_path), "mode": "test"})) == 4


def test_cifar_names_written_by_another_editor(tmp_path):
    folder, _, _ = write_cifar10(tmp_path, binary=True)
    (folder / "batches.meta.txt").write_bytes(b"\xef\xbb\xbfplane\r\ncar\r\n\r\n")
    assert DATASETS.build("Cifar10", {"image_root": str(tmp_path)}).class_names == ["plane", "car"]


@pytest.mark.parametrize("binary", [True, False])
def test_cifar100_takes_the_fine_labels(tmp_path, binary):
    pixels, _ = cifar_records(3, 0)
    coarse, fine = [1, 2, 3], [44, 55, 66]
    if binary:
        folder = tmp_path / "cifar-100-binary"
        folder.mkdir()
        head = np.array([coarse, fine], dtype=np.uint8).T
        (folder / "train.bin").write_bytes(np.concatenate([head, pixels], axis=1).tobytes())
        (folder / "fine_label_names.txt").write_text("apple\nbear\n")
    else:
        folder = tmp_path / "cifar-100-python"
        folder.mkdir()
        content = {b"data": pixels, b"fine_labels": fine, b"coarse_labels": coarse}
        (folder / "train").write_bytes(pickle.dumps(content, protocol=2))
        (folder / "meta").write_bytes(pickle.dumps({b"fine_label_names": [b"apple", b"bear"]}, protocol=2))
    dataset = DATASETS.build("Cifar100", {"image_root": str(tmp_path), "mode": "train"})
    assert dataset.labels.tolist() == fine
    assert dataset.class_names == ["apple", "bear"]
    np.testing.assert_array_equal(dataset.read(2).transpose(2, 0, 1).reshape(-1), pixels[2])


def python2_pickle(pixels):
    """Return {"data": pixels, "labels": [...]} as Python 2 wrote it: texts are bytes, NumPy calls itself numpy.core."""

    def text(value):
        return b"U" + struct.pack("<B", len(value)) + value

    dtype = (
        b"cnumpy\ndtype\n"
        + text(b"u1")
        + b"K\0K\1\x87R(K\3"
        + text(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    )
    start = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85" + text(b"b") + b"tR"
    data = b"T" + struct.pack("<i", pixels.size) + pixels.tobytes()
    shape = b"K" + bytes([len(pixels)]) + b"M\0\x0c\x86"
    state = b"(K\1" + shape + dtype + b"\x89" + data + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([i % 10]) for i in range(len(pixels))) + b"e"
    return b"\x80\x02}(" + text(b"data") + start + state + text(b"labels") + labels + b"u."


def test_cifar_python_files_as_published(tmp_path):
    pixels, _ = cifar_records(4, 9)
    raw = python2_pickle(pixels)
    np.testing.assert_array_equal(pickle.loads(raw, encoding="bytes")[b"data"], pixels)
    folder, _, _ = write_cifar10(tmp_path, binary=False)
    (folder / "test_batch").write_bytes(raw)
    dataset = DATASETS.build("Cifar10", {"image_root": str(tmp_path), "mode": "test"})
    np.testing.assert_array_equal(dataset.read(3).transpose(2, 0, 1).reshape(-1), pixels[3])
    assert dataset.labels.tolist() == [0, 1, 2, 3]


class Hostile:
    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize(
    "content, message",
    [
        (pickle.dumps({b"data": Hostile()}, protocol=2), "it asks for .*print"),
        (pickle.dumps([1, 2]), "holds a list"),
        (pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [0, 0]}, protocol=2), "an array of f8"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}, protocol=2), "not contain images"),
        (pickle.dumps({b"data": np.zeros((2, 99), np.uint8), b"labels": [0, 0]}, protocol=2), "not contain images"),
        (pickle.dumps({b"data": np.zeros((2, 3072), np.uint8)}, protocol=2)[:-500], "damaged"),
        (b"", "damaged"),
    ],
)
def test_cifar_python_files_that_are_not(tmp_path, capsys, content, message):
    folder, _, _ = write_cifar10(tmp_path, binary=False)
    (folder / "data_batch_3").write_bytes(content)
    with pytest.raises(DataError, match=f"data_batch_3: .*{message}"):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path)})
    assert capsys.readouterr().out == ""


def test_cifar_mistakes(tmp_path):
    with pytest.raises(DataError, match=r"neither data_batch_1.bin nor data_batch_1 here.*cs.toronto.edu"):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path)})
    folder, _, _ = write_cifar10(tmp_path, binary=True)
    path = folder / "data_batch_4.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        DataError, match=r"data_batch_4.bin: 12291 bytes, but a multiple of 3073 is expected \(30730000"
    ):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path)})
    path.unlink()
    with pytest.raises(DataError, match=r"data_batch_4.bin: no such file"):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"Cifar10: download: not available; get the files from https"):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path), "download": True})
    with pytest.raises(ConfigError, match="Cifar10: mode: must be 'train' or 'test', not 'val'"):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path), "mode": "val"})


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


def test_cifar_takes_the_part_that_the_section_is_for(tmp_path):
    write_cifar10(tmp_path, True)
    section = {"name": "Cifar10", "image_root": str(tmp_path)}
    assert "data_batch_1" in build_dataset(section, train=True).describe(0)
    assert "test_batch" in build_dataset(section, train=False).describe(0)
    assert "data_batch_1" in build_dataset({**section, "mode": "train"}, train=False).describe(0)
