"""Packing into shards by Python."""

import subprocess
import tarfile

import cv2
import numpy as np
import pytest

from ppcls.data.datasets import ShardDataset
from ppcls.data.packing import PackOptions, pack
from ppcls.errors import ConfigError, DataError
from tests.helpers.class_folders import digests, fill, settings, write_photos
from tests.helpers.images import encode, picture


@pytest.fixture
def photos(tmp_path):
    """Return class folders with 24 pictures of three classes."""
    return write_photos(tmp_path / "photos")


def test_class_names_of_others_are_not_inherited(tmp_path):
    named = fill(tmp_path / "named", ["red", "blue"], 2)
    pack(PackOptions(str(named), prefix="train", shard_samples=9), tmp_path / "out", workers=1)
    (tmp_path / "list.txt").write_text("red/0.jpg 1\nblue/0.jpg 0\n")
    with pytest.raises(ConfigError, match="has class names, and the source has none"):
        pack(
            PackOptions(str(named), list_file=str(tmp_path / "list.txt"), prefix="val", shard_samples=9),
            tmp_path / "out",
            workers=1,
        )
    (tmp_path / "labels.txt").write_text("0 blue\n")
    with pytest.raises(DataError, match="label 1 is outside"):
        pack(
            PackOptions(str(named), list_file=str(tmp_path / "list.txt"), prefix="val", shard_samples=9),
            tmp_path / "new",
            workers=1,
        )


def test_a_prefix_may_begin_like_another(tmp_path):
    source = fill(tmp_path / "in", ["a", "b"], 2)
    for prefix in ("train-small", "train"):
        result = pack(PackOptions(str(source), prefix=prefix, shard_samples=2), tmp_path / "out", workers=1)
        assert (result["shards"], result["samples"]) == (2, 4)


def test_a_record_that_lacks_something_is_refused(tmp_path):
    source = fill(tmp_path / "in", ["a", "b"], 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.pack.json").write_text('{"version": 1}')
    with pytest.raises(DataError, match="not written by this version"):
        pack(PackOptions(str(source), shard_samples=9), tmp_path / "out", workers=1)


def test_the_standard_command_lists_them_in_webdatasets_order(photos, tmp_path):
    pack(settings(photos, seed=None), tmp_path / "out", workers=1)
    listed = subprocess.run(
        ["tar", "tf", "out/train-000001.tar"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.split()
    assert listed[:2] == ["000005_img_5_x.jpeg", "000005_img_5_x.cls"]
    assert [name.split(".")[0] for name in listed[::2]] == [name.split(".")[0] for name in listed[1::2]]
    assert {name.split(".", 1)[1] for name in listed} <= {"jpg", "jpeg", "png", "cls"}
    with tarfile.open(tmp_path / "out" / "train-000001.tar") as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.mode) for m in archive} == {(0, 0, 0, "", 0o644)}


def test_the_same_images_give_the_same_bytes(photos, tmp_path):
    for out, workers in (("one", 1), ("two", 3)):
        pack(settings(photos, resize_short=32, quality=90), tmp_path / out, workers=workers)
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    pack(settings(photos, seed=1, resize_short=32, quality=90), tmp_path / "other", workers=1)
    assert digests(tmp_path / "one") != digests(tmp_path / "other")


def test_resizing(tmp_path):
    sizes = {"tall.jpg": (300, 200), "wide.png": (100, 401), "exact.jpg": (64, 90), "small.png": (20, 500)}
    for name, (height, width) in sizes.items():
        (tmp_path / "in" / "c").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "c" / name).write_bytes(encode(picture(height, width), name[-4:]))
    pack(settings(tmp_path / "in", seed=None, resize_short=64, quality=95), tmp_path / "out")
    shards = ShardDataset(str(tmp_path / "out"))
    found = {shards.describe(i).split(":")[1].split("_")[1]: shards.read(i) for i in range(4)}
    assert set(found) == {"tall.jpg", "wide.jpg", "exact.jpg", "small.png"}
    for name in ("exact.jpg", "small.png"):
        assert found[name] == (tmp_path / "in" / "c" / name).read_bytes()
    for name, shape in (("tall.jpg", (96, 64, 3)), ("wide.jpg", (64, 257, 3))):
        image = cv2.imdecode(np.frombuffer(found[name], np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == shape
        source = cv2.imread(str(tmp_path / "in" / "c" / name.replace("wide.jpg", "wide.png")))
        small = cv2.resize(source, shape[1::-1], interpolation=cv2.INTER_AREA)
        assert np.abs(image.astype(int) - small).mean() < 2


def test_other_settings_and_other_sources(photos, tmp_path):
    out = tmp_path / "out"
    pack(settings(photos), out, workers=1)
    before = digests(out)
    with pytest.raises(
        ConfigError,
        match=r"options \(--shard-samples 5 then, --shard-size 3K now; --seed 0 then, "
        r"--no-shuffle now; no --resize-short then, --resize-short 9 --quality 90 now\)",
    ):
        pack(settings(photos, shard_samples=None, shard_bytes=3072, seed=None, resize_short=9, quality=90), out)
    (photos / "dog" / "new.png").write_bytes(encode(picture(), ".png"))
    with pytest.raises(ConfigError, match=r"was packed from 24 images, and the source has others now.* \(25 images\)"):
        pack(settings(photos), out)
    (photos / "dog" / "new.png").unlink()
    (photos / "ant").mkdir()
    (photos / "ant" / "0.png").write_bytes(encode(picture(), ".png"))
    with pytest.raises(ConfigError, match=r"labels.txt: has other class names; choose another folder"):
        pack(settings(photos, prefix="more"), out)
    (out / "train.pack.json").write_text("{}")
    with pytest.raises(DataError, match=r"train.pack.json: not written by this version"):
        pack(settings(photos), out)
    (out / "train.pack.json").unlink()
    with pytest.raises(ConfigError, match=r"contains train-000000.tar, but no train.pack.json that says what it is"):
        pack(settings(photos), out)
    with pytest.raises(DataError, match=r"val.pack.json: no such file; nothing was packed"):
        pack(settings(photos, prefix="val"), out, check=True)
    assert {name: digest for name, digest in before.items() if name != "train.pack.json"} == digests(out)


def test_class_names_of_somebody_else_are_not_replaced(photos, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "labels.txt").write_text("0 mine\n")
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"labels\.txt: has other class names"):
            pack(settings(photos), tmp_path / "out")
    assert (tmp_path / "out" / "labels.txt").read_text() == "0 mine\n"


def test_two_sources_in_one_folder(photos, tmp_path):
    for prefix in ("train", "val"):
        pack(settings(photos, prefix=prefix), tmp_path / "out", workers=1)
    assert len(ShardDataset(str(tmp_path / "out"), "val-*.tar")) == 24
    assert len(ShardDataset(str(tmp_path / "out"))) == 48


def test_a_shard_of_broken_images_alone(photos, tmp_path):
    for path in (photos / "cat").iterdir():
        path.write_bytes(b"nothing")
    result = pack(settings(photos, seed=None, shard_samples=8), tmp_path / "out", skip_broken=True)
    assert (result["shards"], result["samples"]) == (2, 16)
    assert [path.name for path in sorted((tmp_path / "out").glob("*.tar"))] == ["train-000001.tar", "train-000002.tar"]
    assert pack(settings(photos, seed=None, shard_samples=8), tmp_path / "out", skip_broken=True)["reused"] == 3


def test_missing_files_of_a_list_are_broken_images(photos, tmp_path):
    (tmp_path / "list.txt").write_text("cat/img.0 x.jpg 0\nnowhere.jpg 1\nnobody.png 1\n")
    with pytest.raises(DataError, match=r"2 images are broken.*\n.*nowhere.jpg: no such file\n.*nobody.png: no"):
        pack(settings(photos, list_file=str(tmp_path / "list.txt"), seed=None), tmp_path / "out")


def test_names_without_a_suffix(tmp_path):
    (tmp_path / "first").write_bytes(encode(picture(), ".jpg"))
    (tmp_path / "list.txt").write_text("first 3\n")
    pack(settings(tmp_path, list_file=str(tmp_path / "list.txt")), tmp_path / "out")
    shards = ShardDataset(str(tmp_path / "out"))
    assert shards.describe(0).endswith(":000000_first.jpg")
    assert shards.read(0) == (tmp_path / "first").read_bytes()
