"""Shards and indexes that are damaged, lie, or were replaced."""

import copy
import gzip
import lzma
import os
import pickle
import re
import tarfile

import pytest

from ppcls.data.datasets import ShardDataset
from ppcls.errors import ConfigError, DataError
from tests.data.sections import on_shards
from tests.data.shard_files import JPEG, PNG, build, special, write_tar

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


def test_packed_folders_and_compressed_names(tmp_path):
    write_tar(tmp_path / "x.tar.gz", GOOD)
    with pytest.raises(
        DataError, match=r"no '\*.tar' in .*; x.tar.gz is there, and compressed shards must be unpacked"
    ):
        ShardDataset(str(tmp_path))
