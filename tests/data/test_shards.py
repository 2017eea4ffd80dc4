"""Data sets in tar files: the same samples as in a folder, and every damage found."""

import copy
import gzip
import io
import lzma
import os
import pickle
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ppcls.data import build_loader
from ppcls.data.datasets import ImageNetDataset, ShardDataset
from ppcls.data.datasets.shards.index import index_path
from ppcls.errors import ConfigError, DataError
from tests.data.conftest import OPS, assert_same, encode, on_shards, picture
from tests.helpers.recipes import ROOT

JPEG = encode(picture(20, 30, 1), ".jpg")
PNG = encode(picture(25, 20, 2), ".png")


def write_tar(path, members, tar_format=tarfile.USTAR_FORMAT):
    """Write (name or TarInfo, content) members."""
    with tarfile.open(path, "w", format=tar_format) as archive:
        for member, content in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def build(section, train=True, **arguments):
    return build_loader(section, train=train, seed=3, class_num=3, **arguments)


# -- the same samples ----------------------------------------------------------------------------------------------


def test_shards_hold_what_the_folder_holds(packed, images):
    folder = ImageNetDataset(str(images), str(images / "list.txt"))
    shards = ShardDataset(str(packed))
    assert [path.name for path in sorted(packed.glob("*.tar"))] == [f"train-00000{i}.tar" for i in range(4)]
    assert shards.boundaries.tolist() == [0, 6, 12, 18, 23]
    assert shards.class_names == ["red", "green", "blue"]
    assert [shards.read(i) for i in range(23)] == [folder.read(i) for i in range(23)]
    np.testing.assert_array_equal(shards.labels, folder.labels)
    assert shards.describe(7) == shards.where(7) == f"{packed}/train-000001.tar:000007_image_07.png"
    again = pickle.loads(pickle.dumps(shards))
    assert again.read(11) == folder.read(11)


def test_evaluation_in_order_by_the_plain_sampler(packed, images):
    plain = {"name": "DistributedBatchSampler", "batch_size": 5, "shuffle": False}
    reference = {"name": "ImageNetDataset", "image_root": str(images), "cls_label_path": str(images / "list.txt")}
    reference = {"dataset": {**reference, "transform_ops": OPS}, "sampler": plain}
    expected = list(build(reference, train=False).epoch(0))
    with build({**on_shards(packed, 2), "sampler": plain}, train=False) as loader:
        assert_same(list(loader.epoch(0)), expected)


def test_patterns_and_ranges(packed, tmp_path):
    def count(pattern):
        return len(ShardDataset(str(packed), pattern))

    assert count("train-{000001..000002}.tar") == count("train-00000[12].tar") == 12
    assert count("train-{000003..000003}.tar") == 5
    with pytest.raises(
        DataError, match=r"shards: 2 of the 3 files are missing:\n.*train-000004.tar\n.*train-000005.tar"
    ):
        count("train-{000003..000005}.tar")
    with pytest.raises(DataError, match=r"shards: no 'val-\*.tar' in "):
        count("val-*.tar")
    for pattern in ("../*.tar", "/x/*.tar", ""):
        with pytest.raises(ConfigError, match="shards: must be a pattern of files in image_root"):
            count(pattern)
    with pytest.raises(DataError, match=r"image_root: .*nowhere: no such folder"):
        ShardDataset(str(tmp_path / "nowhere"))


LONG = "a folder with a long name/" * 6 + "bild-äöü-图"
MEMBERS = [
    ("b.cls", b"2\n"),
    ("b.jpg", JPEG),
    ("b.json", b"{}"),
    ("sub/c.x.txt", b"not of the data set"),
    ("sub/a.PNG", PNG),
    (f"{LONG}.jpeg", JPEG),
    ("README", b"no key's"),
    (".hidden.jpg", b"nobody's"),
    ("sub/a.cls", b" 1 "),
    (f"{LONG}.cls", b"0"),
]


def check_members(folder, prefix=""):
    """Check that the shard has the samples of MEMBERS, with the index that is made and with the index that is read."""
    for _ in range(2):
        dataset = ShardDataset(str(folder))
        found = {
            dataset.describe(i).split(".tar:")[1]: (dataset.read(i), dataset.label(i)) for i in range(len(dataset))
        }
        assert found == {
            f"{prefix}b.jpg": (JPEG, 2),
            f"{prefix}sub/a.PNG": (PNG, 1),
            f"{prefix}{LONG}.jpeg": (JPEG, 0),
        }
        assert (folder / "x.idx.tsv").is_file()


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_tars_of_python(tmp_path, tar_format):
    write_tar(tmp_path / "x.tar", MEMBERS, tar_format)
    check_members(tmp_path)


@pytest.mark.parametrize("tar_format", ["gnu", "pax", "oldgnu"])
def test_tars_of_the_standard_command(tmp_path, tar_format):
    for name, content in MEMBERS:
        (tmp_path / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / name).write_bytes(content)
    command = ["tar", f"--format={tar_format}", "-C", "files", "-cf", "x.tar", "."]
    subprocess.run(command, cwd=tmp_path, check=True)
    shutil.rmtree(tmp_path / "files")
    check_members(tmp_path, prefix="./")


def test_an_index_that_cannot_be_written_is_done_without(tmp_path, caplog):
    name = "x" * 245  # the temporary file's name would be too long
    write_tar(tmp_path / f"{name}.tar", [("a.jpg", JPEG), ("a.cls", b"1")])
    assert ShardDataset(str(tmp_path)).read(0) == JPEG
    assert f"{name}.idx.tsv cannot be written (File name too long): the shard is searched anew" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.tar"]


def test_processes_make_the_same_index_at_the_same_time(packed):
    before = {path.name: path.read_bytes() for path in packed.glob("*.tsv")}
    for path in packed.glob("*.tsv"):
        path.unlink()
    code = f"from ppcls.data.datasets import ShardDataset; print(len(ShardDataset({str(packed)!r})))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(3)
    ]
    assert [process.communicate(timeout=60)[0] for process in started] == ["23\n"] * 3
    assert {path.name: path.read_bytes() for path in packed.glob("*.tsv")} == before
    assert not list(packed.glob(".*"))


def test_index_names():
    assert index_path(Path("a/train-0.tar")) == Path("a/train-0.idx.tsv")
    assert index_path(Path("a/odd")) == Path("a/odd.idx.tsv")


# -- damage --------------------------------------------------------------------------------------------------------

GOOD = [("a.jpg", JPEG), ("a.cls", b"1"), ("b.jpg", PNG), ("b.cls", b"2")]
SYMLINK, HARDLINK, FIFO, DEVICE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE
WRONG_MEMBERS = {
    "upwards": ([("../a.jpg", JPEG)], "'../a.jpg': the name leads out of the shard"),
    "upwards within": ([("x/../../a.jpg", JPEG)], "leads out of the shard"),
    "absolute": ([("/etc/a.jpg", JPEG)], "'/etc/a.jpg': the name leads out of the shard"),
    "link": ([(special("a.jpg", SYMLINK, "/etc/passwd"), b"")], "'a.jpg': is a link"),
    "hard link": ([*GOOD, (special("c.jpg", HARDLINK, "a.jpg"), b"")], "'c.jpg': is a link"),
    "pipe": ([(special("a.jpg", FIFO), b"")], "'a.jpg': is a device or the like"),
    "device": ([(special("a.jpg", DEVICE), b"")], "'a.jpg': is a device or the like"),
    "tab": ([("a\tb.jpg", JPEG)], "the name has a tab"),
    "no label": ([*GOOD, ("c.jpg", JPEG)], "x.tar:c: an image without .cls"),
    "no image": ([*GOOD, ("c.cls", b"1"), ("c.json", b"")], "x.tar:c: a label without an image"),
    "two images": ([*GOOD, ("a.png", PNG)], "x.tar:a: two images, a.jpg and a.png"),
    "twice": ([*GOOD, *GOOD[:2]], "x.tar:a: two images, a.jpg and a.jpg"),
    "two labels": ([*GOOD, ("a.cls", b"2")], "x.tar:a: two labels"),
    "word": ([("a.jpg", JPEG), ("a.cls", b"cat")], "x.tar:a: label 'cat' is not a whole number of at least 0"),
    "negative": ([("a.jpg", JPEG), ("a.cls", b"-1")], "x.tar:a: label '-1' is not"),
    "fraction": ([("a.jpg", JPEG), ("a.cls", b"1.0")], "x.tar:a: label '1.0' is not"),
    "large": ([("a.jpg", JPEG), ("a.cls", b"9" * 5000)], "x.tar:a: label '9999"),
    "no number": ([("a.jpg", JPEG), ("a.cls", b"")], "x.tar:a: label '' is not"),
    "nothing": ([], "x.tar: no samples"),
    "other things": ([("README", b"text")], "x.tar: no samples"),
}


@pytest.mark.parametrize("kind", WRONG_MEMBERS)
def test_members_that_are_refused(tmp_path, kind):
    members, message = WRONG_MEMBERS[kind]
    write_tar(tmp_path / "x.tar", copy.deepcopy(members))
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        ShardDataset(str(tmp_path))
    assert str(tmp_path / "x.tar") in str(caught.value)
    assert not (tmp_path / "x.idx.tsv").exists()


def negative_size(data):
    """Give the second member a size of -1024, with a right checksum."""
    offset = data.index(b"a.cls")
    header = bytearray(data[offset : offset + 512])
    header[124:136] = b"\xff" * 8 + (-1024).to_bytes(4, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return data[:offset] + bytes(header) + data[offset + 512 :]


SPOILED = {
    "within an image": (lambda data: data[: data.index(b"b.jpg") + 600], "x.tar: .*cut off or damaged"),
    "within a header": (lambda data: data[: data.index(b"b.jpg") + 100], "x.tar: .*cut off or damaged"),
    "between members": (lambda data: data[: data.index(b"b.jpg")], r"x.tar: no member and no end mark at byte \d+"),
    "without end mark": (lambda data: data.rstrip(b"\0") + bytes(511), "x.tar: .*cut off or damaged"),
    "empty": (lambda data: b"", "x.tar: not a whole tar file: empty file"),
    "overwritten": (lambda data: data.replace(b"b.jpg", b"c.jpg"), r"x.tar: no member and no end mark at byte \d+"),
    "noise": (lambda data: os.urandom(5000), "x.tar: not a whole tar file"),
    "joined": (lambda data: data + data, "x.tar: data after the end mark at byte"),
    "negative size": (negative_size, "x.tar: .*cut off or damaged"),
    "gzip": (lambda data: gzip.compress(data), r"x.tar: compressed \(gzip\).* unpack it first \(gunzip"),
    "xz": (lambda data: lzma.compress(data), r"x.tar: compressed \(xz\)"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_spoiled_shards_without_an_index(tmp_path, kind):
    path = write_tar(tmp_path / "x.tar", GOOD)
    spoil, message = SPOILED[kind]
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(DataError, match=message):
        ShardDataset(str(tmp_path))
    assert not (tmp_path / "x.idx.tsv").exists()


def test_packed_folders_and_compressed_names(tmp_path):
    write_tar(tmp_path / "x.tar.gz", GOOD)
    with pytest.raises(
        DataError, match=r"no '\*.tar' in .*; x.tar.gz is there, and compressed shards must be unpacked"
    ):
        ShardDataset(str(tmp_path))


def test_a_shard_cut_off_beside_its_index(packed):
    shard = packed / "train-000002.tar"
    whole = shard.read_bytes()
    dataset = ShardDataset(str(packed))
    assert dataset.read(13)
    shard.write_bytes(whole[:1500])
    # The open data set meets it when it reads; a new one when it opens.
    with pytest.raises(DataError, match="the shard ends at byte 1500, before this sample does: it is cut off"):
        dataset.read(17)
    with pytest.raises(
        DataError, match=r"train-000002.tar: 1500 bytes, but train-000002.idx.tsv is the index of \d+ bytes"
    ):
        ShardDataset(str(packed))
    shard.unlink()
    with pytest.raises(DataError, match=r"train-000002.tar"):
        ShardDataset(str(packed), "train-{000000..000003}.tar")
    fresh = pickle.loads(pickle.dumps(dataset))
    with pytest.raises(DataError, match="no such shard"):
        fresh.read(13)


def change(row, column, value):
    """Return a function that changes a field of an index."""

    def spoil(text):
        lines = text.split("\n")
        fields = lines[row].split("\t")
        fields[column] = value(fields[column]) if callable(value) else value
        lines[row] = "\t".join(fields)
        return "\n".join(lines)

    return spoil


MALFORMED = {
    "empty": lambda text: "",
    "binary": lambda text: "\x00\udcff\n" * 9,
    "another format": lambda text: text.replace("index 1", "index 9"),
    "fewer lines": lambda text: text[: text.rindex("\n", 0, -1) + 1],
    "a line cut off": lambda text: text[:-2],
    "more samples": change(0, 2, "7"),
    "a word": change(2, 1, "here"),
    "a huge number": change(2, 1, "9" * 5000),
    "beyond the end": change(2, 1, "99999999"),
    "too long": change(2, 2, "99999999"),
    "a negative label": change(2, 3, "-1"),
    "before the start": change(2, 4, "0"),
    "no name": change(2, 0, ""),
    "a column more": lambda text: text.replace("\n", "\t1\n", 3),
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_indexes(packed, kind):
    path = packed / "train-000001.idx.tsv"
    path.write_bytes(MALFORMED[kind](path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"train-000001.idx.tsv: .*; delete the index to rebuild it"):
        ShardDataset(str(packed))
    path.unlink()
    assert len(ShardDataset(str(packed))) == 23


def swap(column):
    """Return a function that swaps a column of the first two samples."""

    def spoil(text):
        lines = [line.split("\t") for line in text.split("\n")]
        lines[1][column], lines[2][column] = lines[2][column], lines[1][column]
        return "\n".join("\t".join(line) for line in lines)

    return spoil


LIES = {
    "offset": change(1, 1, lambda text: str(int(text) + 512)),
    "offset within a block": change(1, 1, lambda text: str(int(text) + 1)),
    "size": change(1, 2, lambda text: str(int(text) - 1)),
    "label": change(1, 3, lambda text: str((int(text) + 1) % 3)),
    "label's place": change(1, 4, lambda text: str(int(text) + 512)),
    "swapped images": lambda text: swap(2)(swap(1)(text)),
    "swapped labels": lambda text: swap(4)(swap(3)(text)),
    "swapped names": swap(0),
}


@pytest.mark.parametrize("kind", LIES)
@pytest.mark.parametrize("workers", [0, 2])
def test_an_index_that_lies_is_found_when_reading(packed, kind, workers):
    path = packed / "train-000001.idx.tsv"
    before = path.read_text()
    path.write_text(LIES[kind](before))
    assert path.read_text() != before
    where = re.escape(f"{packed}/train-000001.tar:00000")
    plain = {"name": "DistributedBatchSampler", "batch_size": 4}
    with (
        build({**on_shards(packed, workers), "sampler": plain}, train=False) as loader,
        pytest.raises(DataError, match=rf"^{where}[67]_image_0[67].png: (the shard is not what|no member of the tar)"),
    ):
        list(loader.epoch(0))
    path.unlink()
    with build({**on_shards(packed, workers), "sampler": plain}, train=False) as loader:
        assert len(list(loader.epoch(0))) == 6


def test_a_shard_that_was_replaced_by_one_of_the_same_size(tmp_path):
    shard = write_tar(tmp_path / "x.tar", GOOD)
    dataset = ShardDataset(str(tmp_path))
    write_tar(shard, [*GOOD[:3], ("b.cls", b"7")])
    assert ShardDataset(str(tmp_path)).read(0) == JPEG
    with pytest.raises(
        DataError, match=r"the label is 7, not 2; if the shard is right, delete .*x.idx.tsv to rebuild it"
    ):
        dataset.read(1)
    (tmp_path / "x.idx.tsv").unlink()
    assert ShardDataset(str(tmp_path)).labels.tolist() == [1, 7]


def test_evaluation_replaces_nothing(packed):
    with pytest.raises(ConfigError, match="on_error: 'skip' would replace images"):
        values = on_shards(packed)
        values["dataset"]["on_error"] = "skip"
        build(values, train=False)
