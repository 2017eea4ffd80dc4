"""``ppcls pack-data`` as a process: what goes in comes out, the same every time, whatever interrupts it."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from ppcls.data.datasets import ImageFolder, ShardDataset
from ppcls.data.packing import pack
from tests.helpers.class_folders import digests, settings, write_photos
from tests.helpers.images import encode, picture
from tests.helpers.recipes import ROOT


@pytest.fixture
def photos(tmp_path):
    """Return class folders with 24 pictures of three classes."""
    return write_photos(tmp_path / "photos")


@pytest.fixture
def large(tmp_path):
    """Return class folders with enough work to be interrupted in: 80 large pictures."""
    content = encode(picture(1400, 1400), ".jpg")
    for number in range(80):
        file = tmp_path / "large" / ("a", "b")[number % 2] / f"{number}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return tmp_path / "large"


def start(*arguments):
    command = [sys.executable, "-m", "ppcls", "pack-data", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, start_new_session=True, **streams)


def wait_for_shards(process, folder, count):
    end = time.monotonic() + 60
    while len(list(folder.glob("*.tar"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.005)


def test_shards_hold_the_very_files_of_class_folders(photos, run, tmp_path):
    done = run("pack-data", "photos", "--out", "out", "--shard-samples", 5, "--workers", 2)
    result = json.loads(done.stdout)
    assert (result["shards"], result["samples"], result["classes"], result["left_out"]) == (5, 24, 3, [])
    assert result["bytes"] == sum(path.stat().st_size for path in (tmp_path / "out").glob("*.tar"))
    assert (tmp_path / "out" / "labels.txt").read_text(encoding="utf-8") == "0 cat\n1 dog\n2 élan\n"
    folder, shards = ImageFolder(str(photos)), ShardDataset(str(tmp_path / "out"))
    assert shards.class_names == ["cat", "dog", "élan"]
    expected = {(folder.read(i), folder.label(i)) for i in range(24)}
    assert {(shards.read(i), shards.label(i)) for i in range(24)} == expected
    assert shards.labels.tolist() != sorted(shards.labels)  # shuffled


def test_lists_and_delimiters(photos, run, tmp_path):
    names = sorted(str(path.relative_to(photos)) for path in photos.rglob("*.*"))
    (tmp_path / "list.csv").write_text("".join(f"{name},{i % 7}\n" for i, name in enumerate(names)), encoding="utf-8")
    options = ("--list", "list.csv", "--delimiter", ",", "--prefix", "val", "--no-shuffle", "--shard-size", "20K")
    result = json.loads(run("pack-data", "photos", "--out", "out", *options).stdout)
    assert result["classes"] == 7
    assert result["class_names"] is None
    shards = ShardDataset(str(tmp_path / "out"), "val-*.tar")
    assert shards.labels.tolist() == [i % 7 for i in range(24)]
    assert [shards.read(i) for i in range(24)] == [(photos / name).read_bytes() for name in names]
    sizes = [path.stat().st_size for path in sorted((tmp_path / "out").glob("*.tar"))]
    assert len(sizes) > 2
    assert max(sizes) <= 20 * 1024 + 10240  # the file is filled up to whole records of tar


def test_killed_and_started_again_gives_the_same_bytes(large, tmp_path):
    options = (large, "--shard-samples", 4, "--workers", 2)
    pack(settings(large, shard_samples=4), tmp_path / "whole", workers=2)
    for shards in (2, 9):
        process = start(*options, "--out", tmp_path / "out")
        wait_for_shards(process, tmp_path / "out", shards)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait() == -9
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert 9 <= len(before) < 20
    process = start(*options, "--out", tmp_path / "out")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    # At most the shards that were in place, and not noted down yet, are written again.
    reused = json.loads(out)["reused"]
    assert len(before) - 2 <= reused <= len(before)
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tar")}
    assert sum(after[name] == when for name, when in before.items()) == reused
    assert digests(tmp_path / "out") == digests(tmp_path / "whole")


@pytest.mark.parametrize("whom", ["the process", "its whole group"])
def test_ctrl_c(large, tmp_path, whom):
    process = start(large, "--out", tmp_path / "out", "--shard-samples", 4)
    wait_for_shards(process, tmp_path / "out", 2)
    if whom == "the process":
        process.send_signal(signal.SIGINT)
    else:
        os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip() == "stopped"
    assert not list((tmp_path / "out").glob(".*"))
    with pytest.raises(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, 0)


def test_workers_end_with_their_parent_and_a_killed_worker_is_an_error(large, tmp_path):
    process = start(large, "--out", tmp_path / "out", "--shard-samples", 2, "--workers", 1)
    wait_for_shards(process, tmp_path / "out", 1)
    (child,) = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(child), signal.SIGKILL)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "a worker process was killed, probably because memory ran out; lower --workers" in err
    assert "Traceback" not in err

    process = start(large, "--out", tmp_path / "out", "--shard-samples", 2, "--workers", 1)
    wait_for_shards(process, tmp_path / "out", 3)
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while True:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < end, "a worker is left"
        time.sleep(0.05)


def test_finished_shards_are_kept_and_damaged_ones_made_anew(photos, run, tmp_path):
    command = ("pack-data", "photos", "--out", "out", "--shard-samples", 5)
    run(*command)
    whole = digests(tmp_path / "out")
    assert json.loads(run(*command, "--check").stdout)["reused"] == 5
    out = tmp_path / "out"
    shard = (out / "train-000001.tar").read_bytes()
    (out / "train-000001.tar").write_bytes(shard[:700] + b"?" + shard[701:])
    (out / "train-000002.tar").unlink()
    (out / "train-000003.idx.tsv").write_text("nothing")
    spoiled = digests(out)
    err = run(*command, "--check", code=2).stderr
    assert "3 of 5 shards are not as they should be" in err
    for line in (
        "train-000001.tar: not as it was written",
        "train-000002.tar: missing",
        "train-000003.idx.tsv: not as",
    ):
        assert line in err
    assert digests(out) == spoiled
    assert json.loads(run(*command).stdout)["reused"] == 2
    assert digests(out) == whole
    (photos / "cat" / "img.0 x.jpg").write_bytes(encode(picture(77, 77), ".jpg"))
    assert "images were changed since it was written" in run(*command, "--check", code=2).stderr
    assert json.loads(run(*command).stdout)["reused"] == 4


def test_a_run_that_finished_nothing_binds_nobody(photos, run, tmp_path):
    victim = photos / "dog" / "img.8 x.JPEG"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-40])
    assert "img.8 x.JPEG" in run("pack-data", "photos", "--out", "out", code=2).stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"labels.txt", "train.pack.json"}
    victim.write_bytes(whole)
    shutil.rmtree(photos / "cat")
    result = json.loads(run("pack-data", "photos", "--out", "out", "--shard-samples", 6, "--no-shuffle").stdout)
    assert (result["shards"], result["samples"]) == (3, 16)
    assert ShardDataset(str(tmp_path / "out")).class_names == ["dog", "élan"]
    pack(settings(photos, shard_samples=6, seed=None), tmp_path / "fresh")
    assert digests(tmp_path / "out") == digests(tmp_path / "fresh")


def test_one_at_a_time(large, run, tmp_path):
    first = start(large, "--out", tmp_path / "out", "--shard-samples", 4, "--workers", 1)
    wait_for_shards(first, tmp_path / "out", 1)
    err = run("pack-data", large, "--out", tmp_path / "out", "--shard-samples", 4, code=2).stderr
    assert f"out: process {first.pid} on " in err
    assert "is packing into this folder with --prefix train; wait for it, stop it, or choose another" in err
    out, err = first.communicate(timeout=120)
    assert first.returncode == 0, err
    assert json.loads(out)["samples"] == 80
    assert not list((tmp_path / "out").glob(".*"))


def test_sides_are_no_classes(photos, run, tmp_path):
    for side in ("train", "val"):
        shutil.copytree(photos / "cat", tmp_path / "sides" / side / "cat")
    err = run("pack-data", "sides", "--out", "out", code=2).stderr
    assert "its folders would be the classes, but train, val are splits of a data set; give one of them" in err
    assert not (tmp_path / "out").exists()
    run("pack-data", "sides/val", "--out", "out")
    (tmp_path / "sides").rename(tmp_path / "deep")
    for side, name in (("train", "2023"), ("val", "2024")):
        (tmp_path / "deep" / side).rename(tmp_path / "deep" / name)
    err = run("pack-data", "deep", "--out", "more").stderr
    assert "the classes are its 2 folders (2023, 2024), and none of them holds images itself" in err
    assert "none of them" not in run("pack-data", "photos", "--out", "good").stderr


def test_broken_images_are_listed_all_at_once_and_may_be_left_out(photos, run, tmp_path):
    victims = sorted(photos.rglob("*.*"))[::2]
    good = {path: path.read_bytes() for path in victims}
    for path in victims:
        path.write_bytes(good[path][:-40])
    command = ("pack-data", "photos", "--out", "out", "--shard-samples", 5)
    err = run(*command, code=2).stderr
    assert "12 images are broken; repair them, or leave them out with --skip-broken:" in err
    assert all(re.search(rf"{re.escape(str(path))}: the \w+ is truncated", err) for path in victims)
    assert "Traceback" not in err
    assert not any(path.name.startswith(".") for path in (tmp_path / "out").iterdir())
    result = json.loads(run(*command, "--skip-broken").stdout)
    assert result["samples"] == 12
    assert sorted(line.split(": ")[0] for line in result["left_out"]) == [str(path) for path in victims]
    assert len(ShardDataset(str(tmp_path / "out"))) == 12
    again = json.loads(run(*command, "--skip-broken").stdout)
    assert (again["reused"], again["left_out"]) == (5, result["left_out"])
    assert "12 images are broken" in run(*command, code=2).stderr
    for path, content in good.items():
        path.write_bytes(content)
    assert json.loads(run(*command).stdout)["samples"] == 24
    pack(settings(photos), tmp_path / "fresh")
    tars = {name: digest for name, digest in digests(tmp_path / "fresh").items() if not name.endswith(".json")}
    assert {name: digest for name, digest in digests(tmp_path / "out").items() if not name.endswith(".json")} == tars


def test_a_full_disk(photos, run):
    done = run("pack-data", "photos", "--out", "out", "--shard-samples", 12, code=2, limit=8000)
    assert re.search(r"out/train-00000\d.tar: cannot be written: File too large", done.stderr)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "options, message",
    [
        (["--shard-size", "lots"], "expected a number of bytes such as 500K, 256M or 1G, got 'lots'"),
        (["--shard-size", "0"], "expected a number of bytes"),
        (["--shard-size", "1M", "--shard-samples", "3"], "not allowed with"),
        (["--seed", "1", "--no-shuffle"], "not allowed with"),
        (["--shard-samples", "0"], "--shard-samples: must be at least 1, not 0"),
        (["--quality", "90"], "--quality: applies to the JPEGs that --resize-short writes"),
        (["--resize-short", "64", "--quality", "101"], "--quality: must be from 1 to 100, not 101"),
        (["--resize-short", "0"], "--resize-short: must be at least 1 pixel, not 0"),
        (["--delimiter", ","], "--delimiter: needs a --list"),
        (["--prefix", "../x"], "--prefix: must consist of letters"),
        (["--seed", "-1"], "--seed: must be at least 0, not -1"),
        (["--workers", "0"], "--workers: must be at least 1, not 0"),
        (["--list", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--out", "photos/shards"], "--out: photos/shards: is in the source, whose folders are classes"),
    ],
)
def test_options_that_make_no_sense(tmp_path, capsys, monkeypatch, options, message):
    from ppcls.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "c").mkdir(parents=True)
    try:
        code = main(["pack-data", "photos", "--out", "out", *options])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "c"]
