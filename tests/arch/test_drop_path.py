"""Stochastic depth."""

import numpy as np
import paddle
import pytest

from ppcls.arch.layers.drop_path import DropPath
from ppcls.errors import ConfigError


def test_drops_whole_samples_and_keeps_the_mean():
    paddle.seed(0)
    layer = DropPath(0.25)
    y = layer(paddle.ones([4000, 2, 3])).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert (y == y[:, :1, :1]).all()
    assert y.mean() == pytest.approx(1, abs=0.05)


def test_identity():
    x = paddle.randn([5, 3])
    layer = DropPath(0.5)
    layer.eval()
    assert layer(x) is x
    assert DropPath(0.0)(x) is x


@pytest.mark.parametrize("rate", [1, -0.1, "0.1", True])
def test_rates(rate):
    with pytest.raises(ConfigError, match="drop_path_rate"):
        DropPath(rate)
