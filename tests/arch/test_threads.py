"""The number of threads of the operators, changed while the process runs."""

import ctypes
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppcls.arch import ops
from ppcls.arch.ops import onednn
from ppcls.utils import environment

pytestmark = pytest.mark.skipif(not ops.can_set_threads(), reason="this build of Paddle has no Intel OpenMP runtime")


@pytest.fixture(autouse=True)
def reset():
    yield
    ops.reset_threads()


def test_openmp_and_mkl_follow():
    before = ops.get_threads()
    libraries = Path(paddle.__file__).parent / "libs"
    openmp, mkl = (ctypes.CDLL(str(libraries / name)) for name in ("libiomp5.so", "libmklml_intel.so"))
    for count in (before + 2, before + 1):
        ops.set_threads(count)
        assert (ops.get_threads(), openmp.omp_get_max_threads()) == (count, count)
        assert mkl.MKL_Get_Max_Threads() == min(count, environment.cores())  # MKL uses no more than there are
    ops.reset_threads()
    assert (ops.get_threads(), mkl.MKL_Get_Max_Threads()) == (before, before)


def test_primitives_are_built_again_for_another_number_of_threads():
    built = []
    get = onednn.cached(lambda key: built.append(key) or len(built))
    assert [get("a"), get("a"), get("b")] == [1, 1, 2]
    ops.set_threads(ops.get_threads())  # no other number
    assert get("a") == 1
    ops.set_threads(ops.get_threads() + 1)
    assert [get("a"), get("a")] == [3, 3]


def test_results_are_the_same_after_a_change_and_back():
    x = paddle.randn([64, 128])
    weight, bias = paddle.randn([128, 32]), paddle.randn([32])
    before = ops.linear(x, weight, bias).numpy()
    ops.set_threads(ops.get_threads() + 1)
    np.testing.assert_allclose(ops.linear(x, weight, bias).numpy(), before, rtol=1e-5, atol=1e-4)
    ops.reset_threads()
    assert np.array_equal(ops.linear(x, weight, bias).numpy(), before)
