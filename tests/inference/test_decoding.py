import gc
import subprocess
import sys
import threading
import time

import pytest

from ppcls.errors import DataError
from ppcls.inference.decoding import preprocess_ahead
from ppcls.inference.source import Source
from tests.helpers.recipes import ROOT


def sources(count):
    return [Source(f"{number}", number) for number in range(count)]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ppcls-decode")]


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_the_order_is_kept_and_errors_of_images_are_results(workers):
    def prepare(source, _):
        time.sleep(0.004 if source.data % 3 == 0 else 0)
        if source.data == 5:
            raise DataError("broken")
        return source.data * 10

    found = list(preprocess_ahead(sources(40), prepare, workers, ahead=8))
    assert [name for name, _ in found] == [str(number) for number in range(40)]
    assert isinstance(found[5][1], DataError)
    assert [value for _, value in found if not isinstance(value, DataError)] == [n * 10 for n in range(40) if n != 5]
    assert not threads()


def test_several_images_are_made_ready_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)  # passed only by two threads that are in it together
    assert len(list(preprocess_ahead(sources(6), lambda *_: meeting.wait(), workers=2, ahead=4))) == 6


def test_no_more_than_the_window_is_taken_ahead():
    taken = []

    def endless():
        number = 0
        while True:
            taken.append(number)
            yield Source(f"{number}", number)
            number += 1

    results = preprocess_ahead(endless(), lambda source, _: source.data, workers=2, ahead=6)
    for expected in range(50):
        assert next(results) == (str(expected), expected)
        assert len(taken) <= expected + 6
    results.close()
    assert not threads()


@pytest.mark.parametrize("workers", [0, 2])
def test_a_fault_of_ours_is_not_taken_for_a_broken_image(workers):
    def prepare(source, _):
        if source.data == 3:
            raise KeyError("a defect")
        return source.data

    with pytest.raises(RuntimeError, match="3: preprocessing failed") as caught:
        list(preprocess_ahead(sources(9), prepare, workers, ahead=4))
    assert isinstance(caught.value.__cause__, KeyError)
    gc.collect()
    assert not threads()


def test_whoever_stops_early_waits_for_nothing_that_was_not_begun():
    begun = []

    def prepare(source, stopped):
        begun.append(source.data)
        while source.data and not stopped():
            time.sleep(0.005)
        return source.data

    results = preprocess_ahead(sources(100), prepare, workers=2, ahead=50)
    assert next(results) == ("0", 0)
    results.close()
    assert sorted(begun) in ([0, 1], [0, 1, 2])
    assert not threads()


def test_a_process_ends_although_a_server_never_answers():
    code = """
import threading, time
from ppcls.inference.decoding import preprocess_ahead
from ppcls.inference.source import Source

def prepare(source, stopped):
    if source.data:
        time.sleep(1000)
    return source.data

results = preprocess_ahead([Source(str(n), n) for n in range(4)], prepare, workers=2, ahead=4)
print(next(results))
results.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT, check=True
    )
    assert done.stdout == "('0', 0)\n"
