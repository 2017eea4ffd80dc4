"""The CIFAR data sets, as they are published."""

import pickle
import struct

import numpy as np
import pytest

from ppcls.data import build_dataset
from ppcls.data.datasets import DATASETS
from ppcls.errors import ConfigError, DataError
from tests.data.cifar_files import cifar_records, write_cifar10


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


def test_cifar_takes_the_part_that_the_section_is_for(tmp_path):
    write_cifar10(tmp_path, True)
    section = {"name": "Cifar10", "image_root": str(tmp_path)}
    assert "data_batch_1" in build_dataset(section, train=True).describe(0)
    assert "test_batch" in build_dataset(section, train=False).describe(0)
    assert "data_batch_1" in build_dataset({**section, "mode": "train"}, train=False).describe(0)


def test_held_out_images(tmp_path):
    _, pixels, labels = write_cifar10(tmp_path, binary=True)
    parts = [
        build_dataset({"name": "Cifar10", "image_root": str(tmp_path), "val_fraction": 0.3}, train=train)
        for train in (True, False)
    ]
    training, held_out = ([dataset.describe(i) for i in range(len(dataset))] for dataset in parts)
    assert len(set(training) | set(held_out)) == len(training) + len(held_out) == len(labels)
    for label in np.unique(labels):
        assert (parts[1].labels == label).sum() == max(1, round(0.3 * (labels == label).sum()))
    whole = DATASETS.build("Cifar10", {"image_root": str(tmp_path)})
    places = [whole.describe(i) for i in range(len(whole))]
    for dataset in parts:
        rows = [places.index(dataset.describe(i)) for i in range(len(dataset))]
        np.testing.assert_array_equal(dataset.read_many(np.arange(len(dataset))), pixels[rows])
        np.testing.assert_array_equal(dataset.read(1), pixels[rows[1]])
        np.testing.assert_array_equal(dataset.labels, labels[rows])


@pytest.mark.parametrize("change", [{"val_fraction": 1}, {"val_fraction": 0.1, "mode": "test"}])
def test_held_out_images_that_cannot_be(tmp_path, change):
    write_cifar10(tmp_path, binary=True)
    with pytest.raises(ConfigError, match="val_fraction"):
        DATASETS.build("Cifar10", {"image_root": str(tmp_path), **change})
