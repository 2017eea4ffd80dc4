"""ConvMLP: structure, initialisation, and input sizes."""

import math

import numpy as np
import paddle
import pytest

from ppcls.arch import spec
from ppcls.errors import ConfigError
from ppcls.weights import create_model

TINY = {"blocks": [1, 2], "dims": [8, 12], "mlp_ratios": [2, 1.5], "channels": 6, "conv_blocks": 2, "class_num": 3}


def tiny(**arguments):
    return create_model("ConvMLP", **{**TINY, **arguments})


@pytest.mark.parametrize("size", [(64, 96), (33, 70), (4, 5)])
def test_any_input_size(size):
    model = create_model("ConvMLP", **{**TINY, "blocks": [1, 1, 1], "dims": [8, 8, 16], "mlp_ratios": [1, 1, 1]})
    model.eval()
    x = paddle.randn([2, 3, *size])
    maps = model.features(x)
    assert [(info.channels, info.stride) for info in model.feature_info] == [(6, 4), (8, 8), (8, 16), (16, 32)]
    for found, info in zip(maps, model.feature_info):
        assert found.shape == [2, info.channels, *(math.ceil(side / info.stride) for side in size)]
    np.testing.assert_array_equal(maps[-1].numpy(), model.forward_features(x).numpy())
    assert model(x).shape == [2, 3]


def test_the_connection_has_no_residual():
    model = tiny()
    block = model.stages[1].blocks[0]
    block.connect.weight.set_value(paddle.zeros(block.connect.weight.shape))
    x = paddle.randn([1, 3, 3, 12])
    constant = block(x).numpy()
    np.testing.assert_allclose(constant, np.broadcast_to(constant[:, :1, :1], constant.shape), rtol=1e-5)


def test_initialisation():
    """As the authors' init_weight: fan-out normal (not divided by groups), 0.02 for projections."""
    paddle.seed(0)
    model = create_model("ConvMLP_S")
    for name, parameter in model.named_parameters():
        values = parameter.numpy().ravel()
        tolerance = 5 / math.sqrt(2 * values.size)
        if name.endswith("downsample.bias"):  # left as PyTorch has it
            fan_in = model.state_dict()[name.replace("bias", "weight")].shape[1] * 9
            assert np.abs(values).max() <= 1 / math.sqrt(fan_in)
            assert values.std() == pytest.approx(1 / math.sqrt(3 * fan_in), rel=2 * tolerance)
        elif name.endswith(("bias", "_mean")):
            assert (values == 0).all(), name
        elif parameter.ndim == 1:
            assert (values == 1).all(), name
        else:
            out, _, *kernel = parameter.shape if parameter.ndim == 4 else [0, 0]
            std = math.sqrt(2 / (out * math.prod(kernel))) if kernel else 0.02
            assert values.std() == pytest.approx(std, rel=tolerance), name
            assert abs(values.mean()) < 5 * std / math.sqrt(values.size), name


def test_depths():
    model = tiny()
    depths = {name: model.depth_of(name) for name, _ in model.named_parameters()}
    assert depths["tokenizer.2.norm.weight"] == 0
    assert depths["conv_blocks.1.2.conv.weight"] == 2
    assert depths["stages.0.downsample.bias"] == depths["stages.0.blocks.0.connect.weight"] == 3
    assert depths["stages.1.downsample.weight"] == 4
    assert depths["stages.1.blocks.1.norm1.bias"] == depths["norm.weight"] == 5
    assert depths["head.bias"] == 6
    for wrong in ("stages.1.blocks.2.norm1.bias", "stages.2.downsample.bias", "conv_blocks.2", "heads", "normal", ""):
        with pytest.raises(ValueError, match="ConvMLP has no parameter"):
            model.depth_of(wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"blocks": [1]}, r"must have one entry per stage each, not \[1, 2, 2\]"),
        ({"blocks": [], "dims": [], "mlp_ratios": []}, "must have one entry per stage"),
        ({"blocks": [1, 0]}, "blocks: must be a whole number of at least 1, not 0"),
        ({"dims": [8, -1]}, "dims: must be a whole number of at least 1, not -1"),
        ({"mlp_ratios": [1, 0.01]}, "mlp_ratios: must leave a hidden width of at least 1"),
        ({"channels": 1}, "channels: must be a whole number of at least 2, not 1"),
        ({"conv_blocks": 0}, "conv_blocks: must be a whole number of at least 1"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**arguments)


@pytest.mark.parametrize(("name", "gigamacs"), [("ConvMLP_S", 2.4), ("ConvMLP_M", 3.9), ("ConvMLP_L", 9.9)])
def test_multiply_adds_are_as_published(name, gigamacs):
    assert spec(name).macs == pytest.approx(gigamacs * 1e9, rel=0.01)
