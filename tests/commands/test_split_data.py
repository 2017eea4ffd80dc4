"""``ppcls split-data``."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from tests.commands.scenes import lines
from tests.helpers.class_folders import fill
from tests.helpers.recipes import ROOT


def test_split_by_class_reproducibly_with_copies_on_one_side(photos, run):
    first = cv2.imread(str(photos / "cat" / "00.jpg"))
    for number in range(6):  # a burst of nearly equal pictures
        cv2.imwrite(
            str(photos / "cat" / f"burst{number}.jpg"), cv2.resize(first, None, fx=0.9, fy=0.9), [1, 95 - number]
        )
    (photos / "dog" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    result = json.loads(run("split-data", photos, "--val", "0.25", "--seed", "3").stdout)
    train, val = lines(photos / "train_list.txt"), lines(photos / "val_list.txt")
    assert (len(train), len(val)) == (result["train"], result["val"])
    assert (photos / "labels.txt").read_text() == "0 cat\n1 dog\n"
    paths = [path for path, _ in (*train, *val)]
    assert len(set(paths)) == len(paths) == 46
    assert all((photos / path).is_file() for path in paths)
    assert len([path for path in result["left_out"] if "broken.jpg" in path]) == 1
    assert sum(label == "1" for _, label in val) == 5
    assert 4 <= sum(label == "0" for _, label in val) <= 7
    burst = {path in [p for p, _ in val] for path in paths if "burst" in path or path == "cat/00.jpg"}
    assert len(burst) == 1
    assert result["near_copies"] == 7
    (group,) = result["near_copy_groups"]
    assert len(group) == 7 and f"{photos}/cat/00.jpg" in group
    again = photos.parent / "again"
    run("split-data", photos, "--val", "0.25", "--seed", "3", "--out", again)
    assert (again / "val_list.txt").read_text() == (photos / "val_list.txt").read_text()
    run("split-data", photos, "--val", "0.25", "--seed", "4", "--out", again, "--replace")
    assert (again / "val_list.txt").read_text() != (photos / "val_list.txt").read_text()


def test_split_refuses(photos, run):
    assert "--val: must be between 0 and 1" in run("split-data", photos, "--val", "2", code=2).stderr
    assert "no such folder" in run("split-data", photos / "nothing", code=2).stderr
    run("split-data", photos)
    assert (
        "already there; choose another folder with --out, or add --replace" in run("split-data", photos, code=2).stderr
    )
    (photos / "empty").mkdir()
    assert "no images" in run("split-data", photos, "--replace", code=2).stderr


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
