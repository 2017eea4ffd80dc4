"""Stochastic depth: its statistics, its schedules, and that both families follow them."""

import numpy as np
import paddle
import pytest

from ppcls.arch.layers import DropPath, drop_path_rates, staged_drop_path_rates
from ppcls.errors import ConfigError
from ppcls.weights import create_model

CONVMLP = {"blocks": [2, 3], "dims": [8, 16], "mlp_ratios": [2, 2], "channels": 8, "conv_blocks": 1, "class_num": 3}
GMLP = {"dim": 8, "depth": 5, "patch_size": 4, "image_size": 8, "class_num": 3}


def rates_of(model):
    return [layer.rate for layer in model.sublayers() if isinstance(layer, DropPath)]


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_samples_are_dropped_and_the_others_scaled(rate):
    paddle.seed(1)
    layer = DropPath(rate)
    x = paddle.ones([20000, 3, 2])
    y = layer(x).numpy()
    kept = y[:, 0, 0] > 0
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / len(kept))
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1, :1], y.shape))  # whole samples
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    assert abs(y.mean() - 1) < 5 * np.sqrt(rate / (1 - rate) / len(kept))


def test_identity_in_evaluation_and_without_a_rate():
    x = paddle.randn([4, 2])
    layer = DropPath(0.9)
    layer.eval()
    assert layer(x) is x
    assert DropPath(0)(x) is x


def test_the_gradient_is_dropped_with_the_branch():
    paddle.seed(0)
    x = paddle.ones([64, 2])
    x.stop_gradient = False
    y = DropPath(0.5)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_schedules():
    assert drop_path_rates(0.3, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert drop_path_rates(0.3, 1) == [0]
    stage = staged_drop_path_rates(0.2, [3, 1, 2], "stage")
    assert [pytest.approx(rates) for rates in stage] == [[0, 0.1, 0.2], [0], [0, 0.2]]
    linear = staged_drop_path_rates(0.5, [3, 1, 2], "linear")
    assert [pytest.approx(rates) for rates in linear] == [[0, 0.1, 0.2], [0.3], [0.4, 0.5]]


def test_families_follow_their_schedule():
    assert rates_of(create_model("ConvMLP", **CONVMLP, drop_path_rate=0.2)) == pytest.approx([0, 0.2, 0, 0.1, 0.2])
    linear = create_model("ConvMLP", **CONVMLP, drop_path_rate=0.2, drop_path_schedule="linear")
    assert rates_of(linear) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert rates_of(create_model("gMLP", **GMLP, drop_path_rate=0.2)) == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    constant = create_model("gMLP", **GMLP, drop_path_rate=0.2, drop_path_schedule="constant")
    assert rates_of(constant) == [0.2] * 5


@pytest.mark.parametrize(
    ("name", "arguments"), [("ConvMLP", CONVMLP), ("gMLP", {**GMLP, "drop_rate": 0.3, "proj_drop_rate": 0.2})]
)
def test_a_checkpointed_block_drops_the_same_samples_again(name, arguments):
    found = []
    for recompute in (False, True):
        paddle.seed(3)
        model = create_model(name, **arguments, drop_path_rate=0.5, recompute=recompute)
        model.head.weight.set_value(paddle.randn(model.head.weight.shape))
        model(paddle.randn([6, 3, 8, 8])).square().sum().backward()
        found.append({key: p.grad.numpy() for key, p in model.named_parameters() if p.grad is not None})
    for key, gradient in found[0].items():
        np.testing.assert_array_equal(gradient, found[1][key], err_msg=key)


@pytest.mark.parametrize(("name", "arguments"), [("ConvMLP", CONVMLP), ("gMLP", GMLP)])
def test_wrong_values(name, arguments):
    for rate, message in (
        (1, "must be a number of at least 0 and below 1"),
        (-0.1, "must be a number of at least 0 and below 1"),
        ("0.1", "must be a number, not '0.1'"),
        (True, "must be a number, not True"),
    ):
        with pytest.raises(ConfigError, match=f"drop_path_rate: {message}"):
            create_model(name, **arguments, drop_path_rate=rate)
    with pytest.raises(ConfigError, match=r"drop_path_schedule: must be one of '.*', '.*', not 'cosine'"):
        create_model(name, **arguments, drop_path_schedule="cosine")
