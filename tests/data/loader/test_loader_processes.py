"""The workers of a loader: kept, ended, killed, interrupted."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from ppcls.data import build_loader
from ppcls.data.datasets import ImageNetDataset
from ppcls.data.loader import DataLoader
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.data.transforms import build_transforms
from ppcls.errors import DataError
from tests.data.sections import OPS
from tests.helpers.recipes import ROOT


def build(section, seed=0, train=True, **arguments):
    return build_loader(section, train=train, seed=seed, class_num=3, **arguments)


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended and was not waited for (its parent was killed) still has a number.
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def workers(loader):
    return [process.pid for process in loader._pool._processes]


def test_processes_are_kept_over_epochs(section):
    with build(section(2)) as loader:
        list(loader.epoch(0))
        before = workers(loader)
        list(loader.epoch(1))
        assert workers(loader) == before
        assert all(alive(pid) for pid in before)
    assert not any(alive(pid) for pid in before)


def test_forgotten_loader_ends_its_processes(section):
    loader = build(section(2))
    next(loader.epoch(0))
    pids = workers(loader)
    del loader
    gc.collect()
    wait_until(lambda: not any(alive(pid) for pid in pids))


@dataclass(frozen=True)
class Slowly:
    """The usual transforms, after a moment or an accident."""

    seconds: float = 0.0
    fail: bool = False

    def __call__(self, image, rng):
        time.sleep(self.seconds)
        if self.fail and multiprocessing.parent_process() is not None:
            raise ZeroDivisionError("a mistake of ours")
        return build_transforms(OPS)(image, rng)


def custom(images, transforms, workers=2):
    dataset = ImageNetDataset(str(images), str(images / "list.txt"))
    sampler = DistributedBatchSampler(4, length=len(dataset), seed=0)
    return DataLoader(dataset, transforms, sampler, seed=0, num_workers=workers, train=True)


def test_a_bug_in_a_worker_is_not_taken_for_bad_data(images):
    with (
        custom(images, Slowly(fail=True)) as loader,
        pytest.raises(RuntimeError, match=r"(?s)in a data worker:.*in __call__.*ZeroDivisionError: a mistake of ours"),
    ):
        list(loader.epoch(0))


@pytest.mark.parametrize("moment", ["between", "within"])
def test_a_killed_worker_ends_the_epoch(images, moment):
    with custom(images, Slowly(0.0 if moment == "between" else 0.15)) as loader:
        iterator = loader.epoch(0)
        next(iterator)
        pids = workers(loader)
        os.kill(pids[1], signal.SIGKILL)
        started = time.monotonic()
        with pytest.raises(
            DataError, match=rf"data worker 1 \(process {pids[1]}\) was killed \(exit code -9\), probably"
        ):
            list(iterator)
        assert time.monotonic() - started < 10
        assert not any(alive(pid) for pid in pids)
        assert sum(len(batch.labels) for batch in loader.epoch(0)) == 23  # new processes


def test_interrupts_are_left_to_the_main_process(section):
    with build(section(2)) as loader:
        iterator = loader.epoch(0)
        next(iterator)
        for pid in workers(loader):
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.1)
        assert len(list(iterator)) == 5


def test_an_interrupt_while_waiting_leaves_a_usable_loader(images):
    def strike(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with custom(images, Slowly(0.1)) as loader:
            for seconds in (0.02, 0.12, 0.21, 0.33, 0.47):
                iterator = loader.epoch(0)
                next(iterator)  # workers run: Python swallows what a handler raises in the middle of a fork
                signal.setitimer(signal.ITIMER_REAL, seconds)
                with pytest.raises(KeyboardInterrupt):
                    list(iterator)
                assert not multiprocessing.active_children()
            assert sum(len(batch.labels) for batch in loader.epoch(0)) == 23
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


MAIN = """
import sys, time
sys.path.insert(0, {root!r})
from ppcls.data import build_loader
train, val = (build_loader({section!r}, train=True, seed=0, class_num=3) for _ in range(2))
iterators = [train.epoch(0), val.epoch(0)]
for iterator in iterators:
    next(iterator)
print(*(p.pid for loader in (train, val) for p in loader._pool._processes), flush=True)
{then}
"""


def start(section, then):
    code = MAIN.format(root=str(ROOT), section=section, then=then)
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 4
    return process, pids


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("shared_memory", [True, False])
def test_workers_end_with_the_main_process(section, number, shared_memory):
    process, pids = start(section(2, shared_memory=shared_memory), "time.sleep(60)")
    assert all(alive(pid) for pid in pids)
    process.send_signal(number)
    process.wait(10)
    wait_until(lambda: not any(alive(pid) for pid in pids))
    process.communicate()


@pytest.mark.parametrize("then, code", [("", 0), ("sys.exit(3)", 3), ("raise KeyboardInterrupt", 1)])
def test_program_ends_without_closing(section, then, code):
    process, pids = start(section(2), then)
    _, err = process.communicate(timeout=15)
    assert (process.returncode != 0) == (code != 0)
    assert "KeyboardInterrupt" in err if "Keyboard" in then else err == ""
    assert not any(alive(pid) for pid in pids)
