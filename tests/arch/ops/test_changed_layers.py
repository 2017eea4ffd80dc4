"""Layers that users replace, wrap or watch are called, with the results of Paddle's operators."""

import numpy as np
import paddle
import pytest
from paddle import nn

from ppcls.arch import layers, ops
from tests.arch.ops.models import MODELS, model_and_images

SIZES = {
    "ConvMixer_256_8": {"depth": 1, "dim": 64},
    "ConvMLP_S": {"blocks": [1, 1], "dims": [32, 64], "mlp_ratios": [2, 2], "channels": 16, "conv_blocks": 1},
    "CycleMLP_B1": {"layers": [1, 1], "embed_dims": [16, 32], "mlp_ratios": [2, 2]},
    "gMLP_Ti16": {"depth": 1, "dim": 16},
}


def small(name, **changes):
    """Return a model in which no weights are zeros, and images."""
    model, images = model_and_images(name, **{**SIZES[name], **changes})
    random = np.random.default_rng(3)
    for layer_name, layer in model.named_sublayers():
        if layer_name == "head" or layer_name.endswith("spatial_proj"):
            layer.weight.set_value(paddle.to_tensor(random.standard_normal(layer.weight.shape).astype("float32")))
    return model, images


def results(model, images):
    """Return logits and the gradients of all parameters."""
    model.clear_gradients()
    logits = model(images)
    (logits**2).sum().backward()
    found = {name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None}
    return {"logits": logits.numpy(), **found}


def check_like_plain(model, images):
    with ops.plain_operators():
        right = results(model, images)
    mine = results(model, images)
    assert mine.keys() == right.keys()
    largest = max(np.abs(values).max() for key, values in right.items() if key != "logits")
    for key, values in right.items():
        tolerance = 1e-3 * max(np.abs(values).max(), 1e-4 * largest)
        np.testing.assert_allclose(mine[key], values, rtol=0, atol=tolerance, err_msg=key)


class Wrapped(nn.Layer):
    """A layer plus an adapter, [B, C, ...] -> [B, C, ...] or over tokens."""

    def __init__(self, base, adapter):
        super().__init__()
        self.base, self.adapter = base, adapter

    def forward(self, x):
        return self.base(x) + self.adapter(x)


class Scaled(nn.Layer):
    """As large as the base's result, in Paddle's order of axes."""

    def __init__(self, size):
        super().__init__()
        self.scale = self.create_parameter([size], default_initializer=nn.initializer.Normal())

    def forward(self, x):
        return x * self.scale.reshape([1, -1] + [1] * (x.ndim - 2))


def no_norm(model):
    model.blocks[0].depthwise.norm = nn.Identity()


def silu(model):
    model.blocks[0].pointwise.act = nn.Silu()


def other_norm(model):
    model.stem.norm = nn.GroupNorm(4, 64)


def other_stem(model):
    model.stem = nn.Sequential(nn.Conv2D(3, 64, 2, stride=2), nn.ReLU())


def convolution_adapter(model):
    part = model.blocks[0].depthwise
    part.conv = Wrapped(part.conv, nn.Conv2D(64, 64, 1))


def dilated(model):
    part = model.blocks[0].depthwise
    part.conv = layers.Conv2D(64, 64, 5, padding=4, dilation=2, groups=64)


def fixed_statistics(model):
    model.stem.norm._use_global_stats = True


def norm_without_scale(model):
    model.blocks[0].depthwise.norm = layers.BatchNorm2D(64, weight_attr=False, use_global_stats=True)


def norm_of_a_convolution_stage(model):
    model.conv_blocks[0][0].norm = nn.InstanceNorm2D(32)


def wrapped_downsampling(model):
    stage = model.stages[1]
    stage.downsample = Wrapped(stage.downsample, nn.Conv2D(32, 64, 3, stride=2, padding=1))


def patches_of_paddle(model):
    model.stem = nn.Conv2D(3, model.num_features, 16, stride=16)


def cycle_stem(model):
    model.stem = nn.Conv2D(3, 16, 7, stride=4, padding=2)


def tokens_adapter(model):
    gating = model.blocks[0].sgu
    gating.spatial_proj = Wrapped(gating.spatial_proj, Scaled(16))


def no_gating_norm(model):
    model.blocks[0].sgu.norm = nn.Identity()


def gating_norm_without_shift(model):
    norm = model.blocks[0].sgu.norm = layers.LayerNorm(48, bias_attr=False)
    norm.weight.set_value(paddle.linspace(0, 2, 48))


def norm_over_tokens(model):
    model.norm = layers.LayerNorm([16, 16])


def normalized_weight(model):
    projection = model.blocks[0].sgu.spatial_proj
    nn.utils.weight_norm(projection)
    projection.weight_g.set_value(projection.weight_g * 2)


def projection_adapter(model):
    block = model.blocks[0]
    block.proj_in = Wrapped(block.proj_in, nn.Linear(16, 96))


def other_dropout(model):
    class Roll(nn.Dropout):
        def forward(self, x):
            return x.roll(1, 1)  # over the tokens

    model.blocks[0].dropout = Roll()


def watched_gating(model):
    model.blocks[0].sgu.register_forward_pre_hook(lambda _, inputs: inputs[0] * paddle.linspace(0, 1, 96))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ConvMixer_256_8", no_norm),
        ("ConvMixer_256_8", silu),
        ("ConvMixer_256_8", other_norm),
        ("ConvMixer_256_8", other_stem),
        ("ConvMixer_256_8", convolution_adapter),
        ("ConvMixer_256_8", dilated),
        ("ConvMixer_256_8", fixed_statistics),
        ("ConvMixer_256_8", norm_without_scale),
        ("ConvMLP_S", norm_of_a_convolution_stage),
        ("ConvMLP_S", wrapped_downsampling),
        ("CycleMLP_B1", cycle_stem),
        ("gMLP_Ti16", patches_of_paddle),
        ("gMLP_Ti16", tokens_adapter),
        ("gMLP_Ti16", no_gating_norm),
        ("gMLP_Ti16", gating_norm_without_shift),
        ("gMLP_Ti16", norm_over_tokens),
        ("gMLP_Ti16", normalized_weight),
        ("gMLP_Ti16", projection_adapter),
        ("gMLP_Ti16", other_dropout),
        ("gMLP_Ti16", watched_gating),
    ],
)
def test_changed_layers_compute(name, change):
    model, images = small(name)
    before = results(model, images)["logits"]
    paddle.seed(5)
    change(model)
    model.train()
    check_like_plain(model, images)
    assert np.abs(results(model, images)["logits"] - before).max() > 1e-3 * np.abs(before).max()


@pytest.mark.parametrize("name", MODELS)
def test_hooks_of_all_layers_fire(name):
    model, images = small(name)
    model.eval()
    with paddle.no_grad():
        right = model(images).numpy()
        called = []
        for layer_name, layer in model.named_sublayers():
            layer.register_forward_post_hook(lambda _, __, y, n=layer_name: called.append((n, sorted(y.shape))))
        logits = model(images).numpy()
        mine, called[:] = list(called), []
        with ops.plain_operators():
            model(images)
    assert mine == called
    assert {name for name, _ in called if name.endswith("drop_path")} == {
        name for name, layer in model.named_sublayers() if isinstance(layer, layers.DropPath)
    }
    np.testing.assert_allclose(logits, right, rtol=1e-3, atol=1e-4 * np.abs(right).max())


def test_dropped_paths_can_be_replaced():
    model, images = small("gMLP_Ti16", drop_path_rate=0.9)
    model.train()
    model.blocks[0].drop_path = nn.Identity()
    check_like_plain(model, images)


@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1, "dilation": 2},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": "SAME"},
        {"kernel_size": 3, "padding": [1, 0]},
        {"kernel_size": 3, "padding": [1, 0, 0, 1]},
        {"kernel_size": [3, 1]},
        {"kernel_size": 3, "stride": [2, 1]},
        {"kernel_size": 3, "padding": [1, 1, 1, 1], "stride": 2},
    ],
    ids=str,
)
def test_settings_of_convolutions(settings):
    convolution, x = layers.Conv2D(4, 6, **settings), paddle.randn([2, 4, 7, 8])
    with ops.plain_operators():
        right = convolution(x).numpy()
    np.testing.assert_allclose(layers.from_map(convolution(layers.to_map(x))).numpy(), right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "size"),
    [
        (layers.GELU(approximate=True), 4),
        (layers.LayerNorm([4, 4], epsilon=1e-3), 4),
        (layers.LayerNorm(4, weight_attr=False), 4),
        (layers.LayerNorm(4, bias_attr=False), 4),
        (layers.BatchNorm2D(4, weight_attr=False, bias_attr=False), 5),
        (layers.BatchNorm2D(4, bias_attr=False, use_global_stats=True), 5),
        (layers.BatchNorm2D(4, data_format="NHWC", momentum=0.5), 4),
        (layers.Conv2D(4, 6, 3, padding=1, data_format="NHWC"), 4),
        (layers.MaxPool2D((3, 2), (2, 1), (1, 0)), 5),
    ],
    ids=str,
)
def test_settings_of_layers(layer, size):
    """What Paddle's layers are told, ours compute as theirs do."""
    x = 2 * paddle.randn([2, 4, 4, size])
    on_map = isinstance(layer, (layers.BatchNorm2D, layers.Conv2D, layers.MaxPool2D))
    for name in ("_mean", "_variance"):
        if hasattr(layer, name):
            getattr(layer, name).set_value(paddle.full([4], 0.7))
    state = {key: value.clone() for key, value in layer.state_dict().items()}
    with ops.plain_operators():
        base = type(layer).__mro__[1]
        right = layer(x) if base is nn.Layer else base.forward(layer, x)
        statistics = [value.numpy() for value in layer.state_dict().values()]
    layer.set_state_dict(state)
    mine = layers.from_map(layer(layers.to_map(x))) if on_map else layer(x)
    np.testing.assert_allclose(mine.numpy(), right.numpy(), rtol=1e-5, atol=1e-5)
    for one, other in zip(layer.state_dict().values(), statistics):
        np.testing.assert_allclose(one.numpy(), other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("change", ["approximate", "attribute"])
def test_approximate_gelu_in_a_backbone(change):
    model, images = small("ConvMixer_256_8")
    model.train()
    exact = results(model, images)["logits"]
    for part in (model.stem, model.blocks[0].depthwise, model.blocks[0].pointwise):
        if change == "approximate":
            part.act = layers.GELU(approximate=True)
        else:
            part.act._approximate = "tanh"
    mine = results(model, images)["logits"]
    with ops.plain_operators():
        right = results(model, images)["logits"]
    assert np.abs(mine - right).max() < 0.1 * np.abs(exact - right).max()


@pytest.mark.parametrize("name", MODELS)
def test_gradient_hooks_of_results(name):
    """Results are of Paddle's operations: a hook on the result of a ``PyLayer`` changes nothing."""
    model, images = small(name)
    model.eval()
    for index in range(-1, len(model.feature_info)):
        result = model(images) if index < 0 else model.features(images)[index]
        model.clear_gradients()
        result.register_hook(lambda gradient: gradient * 0)
        result.sum().backward()
        gradients = [p.grad.numpy() for p in model.parameters() if p.grad is not None]
        assert gradients
        assert not any(np.any(gradient) for gradient in gradients)
