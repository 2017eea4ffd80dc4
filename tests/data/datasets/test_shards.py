"""Data sets in tar files: the same samples as in a folder, and every damage found."""

import os
import pickle
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from ppcls.data.datasets import ImageNetDataset, ShardDataset
from ppcls.data.datasets.shards.index import index_path
from ppcls.errors import ConfigError, DataError
from tests.data.sections import OPS, assert_same, on_shards
from tests.data.shard_files import JPEG, PNG, build, write_tar
from tests.helpers.recipes import ROOT


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
