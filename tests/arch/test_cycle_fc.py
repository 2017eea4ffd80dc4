"""CycleFC against a NumPy oracle and against the deformable convolution that the authors use."""

import numpy as np
import paddle
import pytest

from ppcls.arch.layers import CycleFC
from ppcls.arch.ops import cycle_shift
from ppcls.errors import ConfigError

SIZES = [(2, 5, 7, 8), (1, 1, 1, 5), (1, 3, 1, 10), (2, 8, 3, 7), (1, 2, 9, 21)]


def offset(channel, k):
    return (channel + k // 2) % k - k // 2


def oracle(x, axis, k):
    """Return the shift of ``x``, and where each value came from, position by position."""
    shifted = np.zeros_like(x)
    for b, h, w, c in np.ndindex(x.shape):
        source = [b, h, w, c]
        source[axis] += offset(c, k)
        if 0 <= source[axis] < x.shape[axis]:
            shifted[b, h, w, c] = x[tuple(source)]
    return shifted


def deformable(x, layer, kernel_size):
    """Return the authors' way to compute ``layer``, [B, H, W, C] -> [B, H, W, C']."""
    b, h, w, c = x.shape
    k, along_width = max(kernel_size), kernel_size[0] == 1
    offsets = np.zeros((c, 2), "float32")  # a channel's offsets in y and x
    offsets[:, int(along_width)] = [offset(channel, k) for channel in range(c)]
    offsets = paddle.to_tensor(offsets).reshape([1, 2 * c, 1, 1]).expand([b, 2 * c, h, w])
    y = paddle.vision.ops.deform_conv2d(
        x.transpose([0, 3, 1, 2]), offsets, layer.weight, layer.bias, deformable_groups=c
    )
    return y.transpose([0, 2, 3, 1])


@pytest.mark.parametrize("k", [1, 3, 5, 7])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("shape", SIZES)
def test_shift_is_exact(shape, axis, k):
    rng = np.random.RandomState(0)
    x = paddle.to_tensor(rng.standard_normal(shape).astype("float32"), stop_gradient=False)
    y = cycle_shift(x, axis, k)
    np.testing.assert_array_equal(y.numpy(), oracle(x.numpy(), axis, k))
    # The gradient is the transposed shift: turned around along the axis, the shift of the turned gradient.
    g = rng.standard_normal(shape).astype("float32")
    paddle.autograd.backward([y], [paddle.to_tensor(g)])
    np.testing.assert_array_equal(x.grad.numpy(), np.flip(oracle(np.flip(g, axis).copy(), axis, k), axis))


@pytest.mark.parametrize("kernel_size", [(1, 1), (1, 3), (3, 1), (1, 7), (7, 1)])
@pytest.mark.parametrize("shape", SIZES)
def test_like_a_deformable_convolution(shape, kernel_size):
    paddle.seed(0)
    layer = CycleFC(shape[-1], 2 * shape[-1], kernel_size)  # Paddle's operator wants a multiple of the input channels
    results = []
    for compute in (layer, lambda x: deformable(x, layer, kernel_size)):
        x = paddle.to_tensor(np.random.RandomState(1).standard_normal(shape).astype("float32"), stop_gradient=False)
        layer.clear_gradients()
        y = compute(x)
        (y * paddle.cos(y)).sum().backward()
        results.append([t.numpy() for t in (y, x.grad, layer.weight.grad, layer.bias.grad)])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel_size", [(1, 3), (7, 1)])
def test_export(kernel_size, tmp_path):
    layer = CycleFC(10, 4, kernel_size)
    spec = [paddle.static.InputSpec([None, None, None, 10], "float32")]
    paddle.jit.save(paddle.jit.to_static(layer, full_graph=True, input_spec=spec), str(tmp_path / "fc"))
    loaded = paddle.jit.load(str(tmp_path / "fc"))
    for shape in ([2, 5, 7, 10], [1, 9, 2, 10]):
        x = paddle.randn(shape)
        np.testing.assert_allclose(loaded(x).numpy(), layer(x).numpy(), rtol=1e-5, atol=1e-6)


def test_initialisation():
    paddle.seed(1)
    layer = CycleFC(300, 400, (1, 3))
    for values in (layer.weight.numpy(), layer.bias.numpy()):
        assert np.abs(values).max() <= 300**-0.5
        assert values.std() == pytest.approx((3 * 300) ** -0.5, rel=0.1)
    assert "axis=W, k=3" in repr(layer)


@pytest.mark.parametrize("kernel_size", [(3, 3), (3,), (0, 1), (1, 3, 1)])
def test_kernel_sizes(kernel_size):
    with pytest.raises(ConfigError, match=r"must be \[1, k\] or \[k, 1\]"):
        CycleFC(8, 8, kernel_size)
