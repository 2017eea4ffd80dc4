"""Results and gradients in float32 are as near to float64 as those of Paddle's own operators."""

import math
from functools import partial

import numpy as np
import paddle
import pytest

from ppcls.arch import ops
from ppcls.arch.ops import dispatch
from ppcls.utils import environment
from tests.arch.ops.cases import CASES, USUAL, Case, results, tensors


# Of one number, in steps of float32 at the largest one: the library's erf is a polynomial.
def _steps(case):
    return 4 if "gelu" in case.name else 3


def assert_as_accurate(case, inputs):
    """Compare with float64: at most twice the plain path's error, or what is explained by the order of sums.

    The library adds up the n terms of a short sum one by one, Paddle in blocks: errors are a random walk of n steps.
    """
    arrays = case.arrays()
    got = results(case.function, inputs)
    with ops.plain_operators():
        plain = results(case.function, tensors(arrays))
        exact = results(case.function, tensors(arrays, "float64"))
    for index, (mine, its, right) in enumerate(zip(got, plain, exact)):
        assert (mine is None) == (right is None), index
        if right is None:
            continue
        assert mine.shape == right.shape
        step = np.spacing(np.abs(right).max().astype("float32"))
        steps = max(_steps(case), math.sqrt(min(case.terms[index], 512)) / 2 if case.terms else 0)
        error, allowed = np.abs(mine - right).max(), max(2 * np.abs(its - right).max(), steps * step)
        what = f"gradient {index}" if index else "result"
        assert error <= allowed, f"{what}: {error:.3g} > {allowed:.3g}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_against_float64(case):
    inputs = tensors(case.arrays())
    assert dispatch.uses_onednn(*inputs)
    assert_as_accurate(case, inputs)


LONG_SUMS = {
    "linear": (ops.linear, [(600, 1200), (1200, 700), (700,)]),
    "linear, one row": (ops.linear, [(1, 2048), (2048, 100), (100,)]),
    "depthwise 3x3": (partial(ops.conv2d_nhwc, padding=1, groups=32), [(16, 20, 20, 32), (32, 1, 3, 3), (32,)]),
    "depthwise 5x5": (partial(ops.conv2d_nhwc, padding=2, groups=32), [(32, 16, 16, 32), (32, 1, 5, 5), (32,)]),
    "depthwise, small maps": (partial(ops.conv2d_nhwc, padding=1, groups=32), [(96, 7, 7, 32), (32, 1, 3, 3), (32,)]),
    "patches": (partial(ops.conv2d_nhwc, stride=2), [(32, 32, 32, 3), (64, 3, 2, 2), (64,)]),
}


@pytest.mark.parametrize("name", LONG_SUMS)
def test_long_sums_are_made_of_parts(name):
    # Summed one term after another, the gradients by weights were 4 to 13 times as far off as the plain path's.
    function, shapes = LONG_SUMS[name]
    arrays = Case(name, function, tuple(shapes)).arrays()
    got = results(function, tensors(arrays))
    with ops.plain_operators():
        plain, exact = (results(function, tensors(arrays, dtype)) for dtype in ("float32", "float64"))
    for mine, its, right in zip(got, plain, exact):
        step = np.spacing(np.abs(right).max().astype("float32"))
        assert np.abs(mine - right).max() <= max(4 * np.abs(its - right).max(), 2 * step)


@pytest.mark.skipif(not environment.has_bfloat16(), reason="this processor has no instructions for bfloat16")
def test_one_channel_in_bfloat16():
    """It is dense and depthwise at once; only dense convolutions are computed in bfloat16."""
    arrays = Case("", None, ((2, 6, 6, 1), (1, 1, 5, 5))).arrays()
    function = partial(ops.conv2d_nhwc, padding=2)
    with ops.bfloat16_products():
        got = results(function, tensors(arrays))
    with ops.plain_operators():
        right = results(function, tensors(arrays, "float64"))
    for mine, exact in zip(got, right):
        assert np.abs(mine - exact).max() < 0.02 * np.abs(exact).max()


def transposed(x):
    """Return a view with the values of ``x`` on memory in the opposite order of axes."""
    axes = [*range(x.ndim)][::-1]
    return x.detach().transpose(axes).contiguous().transpose(axes)


def sliced(x):
    """Return a view with the values of ``x`` on every third place of a larger tensor."""
    return paddle.stack([x.detach() + 1, x.detach(), x.detach() - 1], -1)[..., 1]


_VIEWS = {"transposed": transposed, "sliced": sliced}


@pytest.mark.parametrize("view", _VIEWS)
@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_inputs_that_are_not_contiguous(case, view):
    inputs = [_VIEWS[view](x) for x in tensors(case.arrays())]
    assert all(not x.is_contiguous() for x in inputs if x.ndim > 1 or view == "sliced")
    for x in inputs:
        x.stop_gradient = False
    assert_as_accurate(case, inputs)


@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_gradients_that_are_not_needed(case):
    arrays = case.arrays()
    wanted = results(case.function, tensors(arrays))
    for frozen in range(len(arrays)):
        inputs = tensors(arrays)
        inputs[frozen].stop_gradient = True
        for index, (got, right) in enumerate(zip(results(case.function, inputs), wanted)):
            if index == frozen + 1:
                assert got is None
            else:
                np.testing.assert_array_equal(got, right)
