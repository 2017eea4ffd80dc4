"""Initialisation as in PyTorch, by statistics."""

import math

import numpy as np
import paddle
import pytest

from ppcls.arch.layers import TruncatedNormal, activation, batch_norm2d, conv2d, from_map, linear, to_map
from ppcls.errors import ConfigError


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: conv2d(64, 256, 3), 64 * 9),
        (lambda: conv2d(1024, 1024, 9, padding=4, groups=1024), 81),
        (lambda: conv2d(3, 1024, 14, stride=14), 3 * 196),
        (lambda: linear(300, 2000), 300),
    ],
)
def test_uniform(make, fan_in):
    paddle.seed(1)
    layer = make()
    bound = 1 / math.sqrt(fan_in)
    for values in (layer.weight.numpy().ravel(), layer.bias.numpy()):
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.97 * bound
        error = 5 * bound / math.sqrt(3 * len(values))  # five standard errors
        assert abs(values.mean()) < error
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=5 / math.sqrt(len(values)))


def test_batch_norm():
    layer = batch_norm2d(5)
    x = paddle.to_tensor(np.random.RandomState(0).randn(4, 5, 3, 3).astype("float32") * 3 + 1)
    np.testing.assert_array_equal(layer.weight.numpy(), np.ones(5))
    np.testing.assert_array_equal(layer.bias.numpy(), np.zeros(5))
    y, values = from_map(layer(to_map(x))).numpy(), x.numpy()
    mean, var = values.mean((0, 2, 3)), values.var((0, 2, 3))
    wanted = (values - mean[:, None, None]) / np.sqrt(var[:, None, None] + 1e-5)
    np.testing.assert_allclose(y, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer._mean.numpy(), 0.1 * mean, rtol=1e-5)


def test_activations():
    x = paddle.to_tensor([-1.0, 2.0])
    gelu = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in (-1, 2)]
    np.testing.assert_allclose(activation("gelu")(x).numpy(), gelu, rtol=1e-6)
    np.testing.assert_array_equal(activation("relu")(x).numpy(), [0, 2])
    with pytest.raises(ConfigError, match="unknown activation 'swish'"):
        activation("swish")


def test_truncated_normal():
    """The same in paddle 2 and 3, whose own initialisers differ."""
    paddle.seed(2)
    layer = linear(300, 400, weight_init=TruncatedNormal(std=0.02))
    values = layer.weight.numpy().ravel()
    sigma = 0.02 / 0.8796
    assert 1.99 * sigma < np.abs(values).max() < 2.001 * sigma
    assert values.std() == pytest.approx(0.02, rel=5 / math.sqrt(2 * values.size))
    assert abs(values.mean()) < 5 * 0.02 / math.sqrt(values.size)
