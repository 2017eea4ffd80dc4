"""What ends one process ends all of them, with its reason, and leaves a run that goes on."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.distributed.jobs import CLOSE, PART, Pair, largest_difference, write_uneven
from tests.helpers.runs import finish, start

# What takes half a minute of waiting is started first, and looked at by the last test.
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("slow_save")]

# Slow enough to be interrupted, and with few updates in which roundings could add up.
LONG = ("Global.epochs=6", "Global.print_batch_step=1", "Optimizer.lr.learning_rate=0.01", "Global.checkpoints=auto")
BIG = ("Arch.dim=128", "Arch.depth=8")

_SLOW = """
import sys, time
from ppcls.engine.checkpointing import file_set
write = file_set.write
def slowly(prefix, *arguments):
    if prefix.name == "latest":
        time.sleep(33)  # longer than gloo waits for anything
    write(prefix, *arguments)
file_set.write = slowly
from ppcls.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def slow_save(digits, tmp_path_factory):
    """Return two processes whose first one saves slowly, and their folder."""
    folder = tmp_path_factory.mktemp("slow")
    started = Pair(folder, "train", write_uneven(digits, folder), PART, "Global.epochs=1", program=_SLOW)
    yield started, folder
    started.end()


def pid_of(job, rank):
    """Return the process id of a rank, which the launcher does not tell."""
    for folder in Path("/proc").iterdir():
        try:
            parent = (folder / "stat").read_text().rsplit(")", 1)[1].split()[1]
            environment = (folder / "environ").read_bytes().split(b"\0")
        except (OSError, IndexError):
            continue
        if int(parent) == job.process.pid and f"PADDLE_TRAINER_ID={rank}".encode() in environment:
            return int(folder.name)
    raise AssertionError(f"no process {rank}")


def lines(folder):
    path = folder / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for_more(process, folder, count):
    """Return when a process, or those of a launcher, have written ``count`` further records."""
    seen = lines(folder)
    while process.poll() is None and lines(folder) < seen + count:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()


def test_interrupted_anyhow_and_resumed_by_two_one_and_two_processes(recipe, job, pair, run, tmp_path):
    run("train", "-c", recipe, "-o", *LONG, *BIG, "Global.output_dir=calm")
    out = tmp_path / "out"

    started = pair("train", recipe, *LONG, *BIG, PART)
    wait_for_more(started.processes[0], out, 2)
    started.processes[1].send_signal(signal.SIGTERM)
    _, said = started.finish((143, 143))
    assert said.count("the same command") >= 2  # both processes stopped at the same batch
    assert len(set(re.findall(r"stopped in epoch \d+ after batch \d+/8", said))) == 1
    states = json.loads((out / "latest.pdstates").read_text())
    assert states["step"] == lines(out) - len(states["history"])

    alone = start(recipe, *LONG, *BIG)
    wait_for_more(alone, out, 3)
    alone.send_signal(signal.SIGINT)
    assert finish(alone)[0] == 130

    started = job("train", recipe, *LONG, *BIG, PART)
    wait_for_more(started.process, out, 3)
    started.process.send_signal(signal.SIGINT)
    _, said = started.finish(code=None)
    assert "stopped in epoch" in said
    assert json.loads((out / "latest.pdstates").read_text())["step"] > states["step"] + 5

    _, said = pair("train", recipe, *LONG, *BIG, PART).finish()
    assert "resuming from" in said
    assert "batch_size was" not in said  # together they are as many as before
    assert largest_difference(out, tmp_path / "calm") < CLOSE
    assert lines(out) == lines(tmp_path / "calm")

    # Inside an epoch, other batches are refused; at its end they are not.
    changes = ("Global.epochs=7", "Global.checkpoints=out/latest", "Global.output_dir=other", *BIG, PART)
    said = run("train", "-c", recipe, "-o", *changes).stderr
    assert "DataLoader.Train.sampler.batch_size was 16 when this run was saved, and is 8 now" in said


def test_a_process_that_is_killed_ends_the_job(recipe, job, run, tmp_path):
    started = job("train", recipe, *LONG, *BIG, PART, "Global.save_every_steps=1")
    wait_for_more(started.process, tmp_path / "out", 4)
    os.kill(pid_of(started, 1), signal.SIGKILL)
    _, said = started.finish(code=None)
    assert re.search(r"Container rank 1 status failed .* code -9", said)
    states = json.loads((tmp_path / "out" / "latest.pdstates").read_text())
    assert states["batch"]
    changes = (*LONG, *BIG, PART, f"Global.checkpoints={tmp_path}/out/latest")
    said = run("train", "-c", recipe, "-o", *changes, code=2).stderr
    assert "has other batches now" in said
    assert "'batch_size': 16" in said
    assert "'batch_size': 8" in said


def test_a_broken_image_is_the_error_of_all(recipe, job, pair, tmp_path, digits):
    shutil.copytree(digits, tmp_path / "data")
    victim = tmp_path / "data" / (tmp_path / "train_list.txt").read_text().split()[0]
    good = victim.read_bytes()
    changes = (f"DataLoader.Train.dataset.image_root={tmp_path}/data", PART, "Global.epochs=1")
    pair("train", recipe, *changes, "Global.output_dir=calm").finish()
    victim.write_bytes(good[: len(good) // 2])
    started = job("train", recipe, *changes)
    _, said = started.finish(code=2)
    for rank in range(2):
        assert f"rank {rank}: error: " in started.log(rank)
        assert str(victim) in started.log(rank)
    assert re.search(r"process [01] failed", said)
    assert "Traceback" not in said
    assert "lost the others" not in said
    assert "The run up to there is saved" in said
    victim.write_bytes(good)
    pair("train", recipe, *changes, "Global.checkpoints=out/latest").finish()
    assert largest_difference(tmp_path / "calm", tmp_path / "out") < CLOSE

    # On the first process alone: a folder that cannot be written to.
    _, said = pair("train", recipe, *changes, "Global.output_dir=/dev/null/x").finish((2, 2))
    assert said.count("Global.output_dir=/dev/null/x: cannot be written to") >= 2


def test_a_loss_that_is_not_finite_in_one_process_ends_all(recipe, pair, tmp_path):
    # One process's part of the first batch overflows; the learning rate is not to blame for it.
    changes = (PART, "Optimizer.lr.learning_rate=1e30", "Optimizer.clip_norm=null", "Global.epochs=2")
    started = pair("train", recipe, *changes)
    _, said = started.finish((2, 2))
    for rank in range(2):
        assert "the loss is " in started.log(rank)
        assert "the weights are not saved" in started.log(rank)
    assert "lost the others" not in said
    assert "Traceback" not in said
    assert not (tmp_path / "out" / "latest.pdparams").exists()


_LATE = """
import atexit, os, sys, time
if os.environ["PADDLE_TRAINER_ID"] == "0":
    {where}time.sleep{how}
from ppcls.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("where, how", [("", "(3)"), ("atexit.register(", ", 6)")], ids=["start", "end"])
def test_the_exit_code_is_that_of_the_error_when_the_first_process_is_late(recipe, job, tmp_path, where, how):
    # The launcher ends the others as soon as it sees that one has ended, and returns the code of the first.
    script = tmp_path / "late.py"
    script.write_text(_LATE.format(where=where, how=how))
    started = job("train", recipe, PART, "Global.epoch=1", script=script)
    started.finish(code=2)
    for rank in range(2):
        assert f"rank {rank}: error: " in started.log(rank)
        assert "did you mean 'epochs'" in started.log(rank)


def test_a_save_may_take_longer_than_a_collective_may(slow_save, recipe, run, tmp_path):
    started, folder = slow_save
    _, said = started.finish()
    assert "lost the others" not in said
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Global.output_dir=calm")
    assert largest_difference(tmp_path / "calm", folder / "out") < CLOSE
