"""What the kernels do not compute, Paddle's own operators do, with their own errors."""

import contextlib

import numpy as np
import paddle
import pytest

from ppcls.arch import layers, ops
from ppcls.arch.ops import dispatch, onednn
from ppcls.errors import ConfigError
from ppcls.utils import environment
from tests.arch.ops.cases import USUAL, gated, halves, layer_norm, norm_of, results, tensors


@pytest.fixture
def no_kernels(monkeypatch):
    """Make every call of a kernel an error."""

    def fail(*_):
        raise AssertionError("computed by a kernel")

    monkeypatch.setattr(onednn.Primitive, "__call__", fail)


def zeros(*shape, dtype="float32"):
    return paddle.zeros(shape, dtype)


def conv(x, weight, bias=None, **settings):
    return lambda: ops.conv2d_nhwc(zeros(*x), zeros(*weight), None if bias is None else zeros(bias), **settings)


@pytest.mark.parametrize(
    "call",
    [
        conv((1, 4, 4, 3), (8, 4, 3, 3)),  # channels in
        conv((1, 4, 4, 3), (8, 3, 3, 3), 7),  # of the bias
        conv((1, 4, 4, 4), (6, 1, 3, 3), groups=4),  # results by group
        conv((4, 4, 3), (8, 3, 3, 3)),
        conv((1, 4, 4, 3), (8, 3, 3, 3), padding=-1),
        lambda: ops.linear(zeros(2, 3), zeros(4, 5)),
        lambda: ops.linear(zeros(2, 3), zeros(3, 5), zeros(4)),
        lambda: ops.linear(zeros(2, 3), zeros(4, 2), transposed=True),
        lambda: ops.linear(zeros(2, 3), zeros(4, 3), zeros(5), transposed=True),
        lambda: halves(zeros(1, 2, 3), zeros(4, 6), zeros(6)),
        lambda: halves(zeros(1, 2, 3), zeros(3, 6), zeros(4)),
        lambda: layer_norm(zeros(2, 4), zeros(5), zeros(5)),
        lambda: layer_norm(zeros(2, 4), zeros(4), zeros(3)),
        lambda: ops.batch_norm(zeros(2, 3, 3, 5), norm_of(zeros(4), zeros(4))),
        lambda: ops.batch_norm(zeros(2, 3, 3, 5), norm_of(zeros(5), zeros(4))),
        lambda: gated(zeros(2, 1, 4, 3), zeros(3), zeros(3), zeros(5, 5), zeros(5)),
        lambda: gated(zeros(2, 1, 4, 3), zeros(2), zeros(3), zeros(4, 4), zeros(4)),
        lambda: gated(zeros(2, 1, 4, 3), zeros(3), zeros(3), zeros(4, 4), zeros(3)),
        lambda: ops.residual_sum(zeros(2, 3), zeros(2, 4)),
        lambda: ops.residual_sum(zeros(2, 3), zeros(2, 3), zeros(2, 2)),
        lambda: ops.weighted_sum([zeros(2, 3, 3, 5)], [zeros(2, 1, 1, 4)]),
        lambda: ops.max_pool_nhwc(zeros(4, 4, 3), 3, 2, 1),
        lambda: ops.spatial_mean(zeros(3, 3)),
        lambda: ops.cycle_shift(zeros(4, 4, 3), 2, 3),
    ],
)
def test_wrong_shapes_are_refused_as_by_paddle(no_kernels, call):
    with ops.plain_operators(), pytest.raises((ValueError, RuntimeError, IndexError)) as plain:
        call()
    with pytest.raises(plain.type) as refused:
        call()
    assert str(refused.value) == str(plain.value)


@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_float64(no_kernels, case):
    arrays = case.arrays()
    got = results(case.function, tensors(arrays, "float64"))
    assert all(value.dtype == np.float64 for value in got)


@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_empty_tensors(no_kernels, case):
    shape = case.shapes[0]
    empty = [zeros(*(0 if size == shape[0] and not index else size for index, size in enumerate(shape)))]
    if case.name.startswith("gating"):
        empty = [zeros(2, 0, *shape[2:])]
    others = tensors(case.arrays()[1:])
    with ops.plain_operators():
        try:
            wanted = case.function(*empty, *others).shape
        except (ValueError, RuntimeError) as error:
            wanted = str(error)
    if isinstance(wanted, str):
        with pytest.raises((ValueError, RuntimeError)) as refused:
            case.function(*empty, *others)
        assert str(refused.value) == wanted
    else:
        assert case.function(*empty, *others).shape == wanted


def test_bfloat16_tensors_and_mixed_types(no_kernels):
    assert not dispatch.uses_onednn(zeros(2, 3, dtype="bfloat16"))
    assert not dispatch.uses_onednn(zeros(2, 3), zeros(3, dtype="float64"))
    assert dispatch.uses_onednn(zeros(2, 3), None)
    assert not dispatch.uses_onednn(zeros(0, 3))


class Projection(paddle.nn.Layer):
    def __init__(self):
        super().__init__()
        self.linear = layers.linear(3, 4)

    def forward(self, x):
        return ops.gelu(self.linear(x))


def test_traced_graphs_contain_paddles_operators(no_kernels):
    model = Projection()
    model.eval()
    traced = paddle.jit.to_static(model, full_graph=True, input_spec=[paddle.static.InputSpec([None, 3])])
    x = paddle.ones([2, 3])
    with ops.plain_operators():
        wanted = paddle.nn.functional.gelu(paddle.nn.functional.linear(x, model.linear.weight, model.linear.bias))
    np.testing.assert_allclose(traced(x).numpy(), wanted.numpy(), rtol=1e-6)


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("case", USUAL, ids=lambda case: case.name)
def test_gradients_of_gradients_are_refused(case, bfloat16):
    """Paddle crashes on ``paddle.grad`` in a backward pass that ``paddle.grad`` called."""
    if bfloat16 and not environment.has_bfloat16():
        pytest.skip("this processor has no instructions for bfloat16")
    inputs = tensors(case.arrays())
    with ops.bfloat16_products() if bfloat16 else contextlib.nullcontext():
        y = case.function(*inputs)
        with pytest.raises(ConfigError, match=r"no gradients of gradients .* set PPCLS_CPU_OPS=plain"):
            paddle.grad(y, inputs, create_graph=True)
    first = paddle.grad(case.function(*inputs), inputs)
    case.function(*inputs).backward()
    for gradient, x in zip(first, inputs):
        np.testing.assert_array_equal(gradient.numpy(), x.grad.numpy())


def test_gradients_of_gradients_on_the_plain_path():
    x, _, bias = inputs = tensors([np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]]), np.array([5.0])])
    with ops.plain_operators():
        (gradient,) = paddle.grad(ops.linear(*inputs) ** 2, [x], create_graph=True)  # 2 (x w + b) w
        gradient.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[2 * 3 * 7, 2 * 4 * 7]])
    np.testing.assert_allclose(bias.grad.numpy(), [2 * 7])
