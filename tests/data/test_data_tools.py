"""What the commands for data do when a process dies, and with names that files of text cannot hold."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppcls.data.packing import PackOptions, pack
from ppcls.errors import ConfigError, DataError
from tests.data.conftest import encode, picture
from tests.helpers.recipes import ROOT


def fill(root, classes, count, side=40):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            content = encode(picture(side, side, number * count + index), ".jpg")
            (root / name / f"{index}.jpg").write_bytes(content)
    return root


def children(pid):
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_killed_worker_ends_split_data(tmp_path):
    source = fill(tmp_path / "in", ["a", "b"], 100, side=1200)
    command = [
        sys.executable,
        "-m",
        "ppcls",
        "split-data",
        str(source),
        "--out",
        str(tmp_path / "out"),
        "--workers",
        "2",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    while process.poll() is None and len(children(process.pid)) < 2:
        time.sleep(0.01)
    os.kill(children(process.pid)[0], signal.SIGKILL)
    try:
        _, error = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    assert "a worker process was killed" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new"), [("plain", " lead"), ("plain/0.jpg", "plain/new\nline.jpg"), ("plain", "x\udcff")]
)
@pytest.mark.parametrize("command", ["split-data", "pack-data"])
def test_names_that_no_list_can_hold_are_refused(tmp_path, run, command, old, new):
    source = fill(tmp_path / "in", ["plain", "other"], 3)
    (source / old).rename(os.fsdecode(os.fsencode(source / new)))
    done = run(command, source, "--out", tmp_path / "out", code=None)
    if command == "pack-data" and old.endswith(".jpg"):
        assert done.returncode == 0  # a tar can
        return
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("*.t*"))  # neither lists nor shards


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
        pack(PackOptions(str(source), prefix=prefix, shard_samples=2), tmp_path / "out", workers=1)


def test_a_record_that_lacks_something_is_refused(tmp_path):
    source = fill(tmp_path / "in", ["a", "b"], 2)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "train.pack.json").write_text('{"version": 1}')
    with pytest.raises(DataError, match="not written by this version"):
        pack(PackOptions(str(source), shard_samples=9), tmp_path / "out", workers=1)
