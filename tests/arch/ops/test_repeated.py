"""The kernels over and over: the same bits, no leak, in several threads, in forked processes."""

import gc
import os
import resource
import signal
import threading
import time
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppcls.arch import ops
from ppcls.arch.ops import memory, onednn
from tests.arch.ops.cases import CASES, USUAL, results, tensors


def run(case, seed=0):
    return results(case.function, tensors(case.arrays(seed)), seed)


def assert_same(one, other):
    for first, second in zip(one, other):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_the_same_bits_each_time(case):
    first = run(case)
    for _ in range(3):
        assert_same(first, run(case))


def only_forward(y, inputs):
    """A result that is not used."""


def partial_gradient(y, inputs):
    paddle.grad(y, [next(x for x in inputs if x is not None)])


@pytest.mark.parametrize("use", [only_forward, partial_gradient])
@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_nothing_is_left_behind(case, use, monkeypatch):
    if use is partial_gradient and paddle.__version__.startswith("2."):
        pytest.skip("refused with Paddle 2")
    monkeypatch.setattr(memory, "_SMALLEST", 1)  # byte: all results come from the pool
    inputs = tensors(case.arrays())
    use(case.function(*inputs), inputs)
    gc.collect()
    before = memory._POOL._bytes_in_use
    for _ in range(3):
        use(case.function(*inputs), inputs)
    gc.collect()
    assert memory._POOL._bytes_in_use == before


def test_several_threads_compute_what_one_does():
    """Each thread has its own primitives, which hold the addresses of what they compute."""
    right = {(case.name, seed): run(case, seed) for case in USUAL for seed in range(4)}
    wrong = []

    def compute(seed):
        try:
            for _ in range(10):
                for case in USUAL:
                    assert_same(right[case.name, seed], run(case, seed))
        except BaseException as error:  # noqa: BLE001  a thread's error would be lost
            wrong.append(error)

    threads = [threading.Thread(target=compute, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong[0]


def test_bfloat16_is_a_matter_of_one_thread():
    inside = []
    with ops.bfloat16_products():
        thread = threading.Thread(target=lambda: inside.append(ops.dispatch.in_bfloat16()))
        thread.start()
        thread.join()
        assert ops.dispatch.in_bfloat16()
    assert inside == [False]
    assert not ops.dispatch.in_bfloat16()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_computes():
    """Data workers do not compute, but a worker's imports and a user's process pool may."""
    case = USUAL[-4]
    right = run(case)
    child = os.fork()
    if child == 0:
        try:
            assert_same(right, run(case))
            os._exit(0)
        finally:
            os._exit(1)
    assert exit_code(child) == 0


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory as Linux tells it")
def test_ten_thousand_calls_do_not_leak():
    inputs = [(case.function, tensors(case.arrays())) for case in CASES]

    def calls(count):
        for number in range(count):
            function, values = inputs[number % len(inputs)]
            function(*values).sum().backward()
            for x in values:
                if x is not None:
                    x.clear_gradient()

    calls(2000)
    gc.collect()
    before = resident()
    calls(8000)
    gc.collect()
    assert resident() - before < 8 << 20


def test_changing_image_sizes_do_not_add_up():
    """Primitives are forgotten, and the pool keeps at most half as much again as was ever in use."""

    def step(size):
        maps = paddle.ones([4, size, size, 16])
        maps.stop_gradient = False
        ops.spatial_mean(ops.gelu(maps)).sum().backward()

    pool = memory._POOL
    gc.collect()
    before = pool._bytes_in_use
    for size in range(40, 80):
        step(size)
    gc.collect()
    assert pool._bytes_in_use == before
    assert 0 < pool._bytes_idle <= pool._most_in_use * memory._LARGEST_SHARE
    assert pool._bytes_idle == sum(len(buffers) * size for size, buffers in pool._idle.items())


def test_memory_of_the_pool_is_given_out_once():
    size = memory._SMALLEST
    shapes = [size // 4]
    first, second = memory.empty(shapes), memory.empty(shapes)
    assert first.data_ptr() != second.data_ptr()
    assert first.data_ptr() % memory._ALIGNMENT == 0
    view, address = first[: size // 8], first.data_ptr()
    del first
    third = memory.empty(shapes)
    assert third.data_ptr() != address  # the view still needs it
    del view
    gc.collect()
    assert memory.empty(shapes).data_ptr() == address


def test_memory_that_is_not_there_is_not_counted():
    gc.collect()
    before = memory._POOL._bytes_in_use
    with pytest.raises(MemoryError):
        memory.empty_array([1 << 50])
    assert memory._POOL._bytes_in_use == before


def test_memory_is_freed_on_request():
    array = memory.empty_array([memory._SMALLEST])
    del array
    gc.collect()
    assert memory._POOL._bytes_idle
    ops.release_memory()
    assert not memory._POOL._bytes_idle
    assert not memory._POOL._idle


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_that_was_forked_while_memory_was_taken():
    held, done = threading.Event(), threading.Event()

    def hold():
        with memory._POOL._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        memory.empty_array([10])
        os._exit(7)
    done.set()
    thread.join()
    assert exit_code(child) == 7


def exit_code(child):
    """Return the exit code of a process, which is killed if it takes longer than a minute."""
    for _ in range(1200):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_primitives_are_kept_up_to_a_number(monkeypatch):
    monkeypatch.setattr(onednn, "_CACHED_PRIMITIVES", 2)
    built = []
    get = onednn.cached(lambda key: built.append(key) or key)
    assert [get(key) for key in (1, 2, 1, 3, 1)] == [1, 2, 1, 3, 1]
    assert built[:3] == [1, 2, 3]
    assert len(built) <= 4
