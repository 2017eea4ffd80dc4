"""Lock files between real processes and threads."""

import errno
import fcntl
import logging
import multiprocessing
import os
import threading
import time

import pytest

from ppcls.errors import MachineError
from ppcls.utils.locks import locked
from ppcls.utils.logging import get_logger

FORK = multiprocessing.get_context("fork")


def lock(path, wait=0.0):
    return locked(path, "output/digits", "is training in this folder", "choose another", wait)


def hold_lock(path, locked_event, release):
    with lock(path):
        locked_event.set()
        release.wait(20)


@pytest.fixture
def holder(tmp_path):
    """Return a running process that has the lock, and the event that makes it let go."""
    events = FORK.Event(), FORK.Event()
    process = FORK.Process(target=hold_lock, args=(tmp_path / ".lock", *events))
    process.start()
    assert events[0].wait(10)
    yield process, events[1]
    process.kill()
    process.join()


def test_another_process_is_named(tmp_path, holder):
    process, _ = holder
    message = rf"^output/digits: process {process.pid} on \S+ is training in this folder; choose another$"
    with pytest.raises(MachineError, match=message), lock(tmp_path / ".lock"):
        pass


def test_waiting_ends_with_the_other_process(tmp_path, holder):
    process, release = holder
    threading.Timer(0.3, release.set).start()
    begun = time.monotonic()
    with lock(tmp_path / ".lock", wait=20):
        assert time.monotonic() - begun > 0.25
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    process.join(10)
    assert not list(tmp_path.iterdir())


def test_waiting_ends_when_time_is_up(tmp_path, holder):
    message = r"is training in this folder \(after 0\.2 s of waiting\); choose"
    with pytest.raises(MachineError, match=message), lock(tmp_path / ".lock", wait=0.2):
        pass


def test_a_killed_process_leaves_no_lock(tmp_path, holder):
    process, _ = holder
    process.kill()
    process.join()
    assert (tmp_path / ".lock").exists()
    with lock(tmp_path / ".lock"):
        pass
    assert not list(tmp_path.iterdir())


def test_threads_of_one_process_exclude_each_other(tmp_path):
    inside, most = 0, []

    def work():
        nonlocal inside
        for _ in range(5):
            with lock(tmp_path / ".lock", wait=20):
                inside += 1
                most.append(inside)
                time.sleep(0.002)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20
    twice = pytest.raises(MachineError, match=f"process {os.getpid()} on")
    with lock(tmp_path / ".lock"), twice, lock(tmp_path / ".lock"):
        pass


def count(path, numbers, times):
    for _ in range(times):
        with lock(path, wait=60):
            numbers.write_text(str(int(numbers.read_text()) + 1))


def test_processes_that_wait_for_each_other_do_not_overlap(tmp_path):
    """The lock file is removed by each holder and made anew by the next."""
    (tmp_path / "numbers").write_text("0")
    arguments = (tmp_path / ".lock", tmp_path / "numbers", 10)
    processes = [FORK.Process(target=count, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert (tmp_path / "numbers").read_text() == "40"
    assert not (tmp_path / ".lock").exists()


def test_a_forked_process_does_not_inherit_the_lock(tmp_path, holder):
    """Its parent may end before it does."""
    process, release = holder
    release.set()
    process.join(10)
    with lock(tmp_path / ".lock"):
        child = FORK.Process(target=count, args=(tmp_path / ".lock", tmp_path / "numbers", 1))
        (tmp_path / "numbers").write_text("0")
        child.start()
        time.sleep(0.2)
        assert (tmp_path / "numbers").read_text() == "0"  # it waits as any other process
    child.join(20)
    assert (tmp_path / "numbers").read_text() == "1"


def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    warnings, handler = [], logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())
    monkeypatch.setattr(fcntl, "lockf", unsupported)
    get_logger().addHandler(handler)
    try:
        with lock(tmp_path / ".lock"):
            pass
    finally:
        get_logger().removeHandler(handler)
    assert warnings == [f"{tmp_path} cannot be locked: do not start another process there"]
