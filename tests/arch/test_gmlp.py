"""gMLP: gating, initialisation, and image sizes, also of weights that are loaded."""

import math

import numpy as np
import paddle
import pytest

from ppcls.arch import spec
from ppcls.arch.resizing import grid_interpolation, interpolation, likely_grid, resize_spatial_weight
from ppcls.errors import ConfigError, WeightsError
from ppcls.weights import create_model, load_weights
from ppcls.weights.factory import trained_image_size

TINY = {"dim": 8, "depth": 3, "mlp_ratio": 2, "patch_size": 4, "image_size": 16, "class_num": 3}


def tiny(**arguments):
    return create_model("gMLP", **{**TINY, **arguments})


def randomised(model):
    for parameter in model.parameters():
        parameter.set_value(paddle.randn(parameter.shape) * 0.3)
    return model


def test_gating_starts_as_the_identity():
    paddle.seed(0)
    unit = tiny().blocks[0].sgu
    z = paddle.randn([2, 16, 16])
    np.testing.assert_allclose(unit(z).numpy(), z.numpy()[:, :, :8], rtol=1e-3, atol=1e-4)


def test_initialisation():
    """As timm's MlpMixer initialises it."""
    paddle.seed(0)
    model = create_model("gMLP_Ti16")
    for name, parameter in model.named_parameters():
        values = parameter.numpy().ravel()
        if name.startswith("head") or name in ("stem.bias", "norm.bias") or name.endswith("norm.bias"):
            assert (values == 0).all(), name
            continue
        if name.endswith(("norm.weight", "spatial_proj.bias")):
            assert (values == 1).all(), name
            continue
        std = 1e-6
        if name == "stem.weight":
            std = 1 / math.sqrt(3 * 16 * 16)
            assert np.abs(values).max() < 2.28 * std  # cut at two of the sigmas before the cut
            assert np.abs(values).max() > 2.2 * std
        elif name.endswith(("proj_in.weight", "proj_out.weight")):
            std = math.sqrt(2 / sum(parameter.shape))
            assert np.abs(values).max() <= math.sqrt(3) * std * (1 + 1e-6)
        assert values.std() == pytest.approx(std, rel=5 / math.sqrt(2 * values.size)), name
        assert abs(values.mean()) < 6 * std / math.sqrt(values.size), name


def test_dropout_is_where_timm_has_it():
    model = tiny(drop_rate=0.5, proj_drop_rate=0.25)
    assert model.dropout.p == 0.5
    assert [block.dropout.p for block in model.blocks] == [0.25] * 3
    x = paddle.randn([2, 3, 16, 16])
    randomised(model)
    assert not np.array_equal(model(x).numpy(), model(x).numpy())
    model.eval()
    np.testing.assert_array_equal(model(x).numpy(), model(x).numpy())
    with pytest.raises(ConfigError, match="proj_drop_rate: must be a number"):
        tiny(proj_drop_rate=2)


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_features_of_a_rectangle(depth):
    model = tiny(image_size=[12, 20], depth=depth)
    model.eval()
    x = paddle.randn([2, 3, 13, 23])  # the rest of a patch is left out
    maps = model.features(x)
    assert [m.shape for m in maps] == [[2, 8, 3, 5]] * min(depth, 4)
    np.testing.assert_array_equal(maps[-1].numpy(), model.forward_features(x).numpy())


def test_another_input_size_is_refused():
    model = tiny()
    with pytest.raises(ConfigError, match=r"image_size is \[16, 16\], got an image of 16x24 px.*image_size \[16, 24\]"):
        model(paddle.zeros([1, 3, 16, 24]))
    with pytest.raises(ConfigError, match="image_size"):
        model.features(paddle.zeros([1, 3, 8, 32]))  # as many tokens, elsewhere


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": [16]}, r"must be one number or \[height, width\]"),
        ({"image_size": "16"}, "image_size: must be a whole number or a list, not '16'"),
        ({"image_size": [16, 0]}, "image_size: must be a whole number of at least 1, not 0"),
        ({"image_size": [16, 3]}, "image_size: .* smaller than a patch of 4 px"),
        ({"dim": 0}, "dim: must be a whole number of at least 1"),
        ({"mlp_ratio": 0.125}, "mlp_ratio: must"),
        ({"patch_size": 0}, "patch_size: must be a whole number of at least 1"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**arguments)


def test_interpolation():
    np.testing.assert_array_equal(interpolation(5, 5), np.eye(5))
    np.testing.assert_allclose(interpolation(2, 4), [[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    for source, target in ((14, 24), (24, 14), (7, 1), (1, 7), (14, 28)):
        matrix = interpolation(source, target)
        np.testing.assert_allclose(matrix.sum(1), 1)
        assert (matrix.sum(0) > 0).all()  # no cell is lost
    image = paddle.randn([1, 1, 4, 6])
    wanted = paddle.nn.functional.interpolate(image, size=[10, 9], mode="bilinear", align_corners=False)
    found = grid_interpolation((4, 6), (10, 9)) @ image.numpy().ravel()
    np.testing.assert_allclose(found, wanted.numpy().ravel(), atol=1e-5)


def test_resized_projection_keeps_its_meaning():
    rng = np.random.RandomState(0)
    weight = rng.randn(12, 12)
    assert np.array_equal(resize_spatial_weight(weight, (3, 4), (3, 4)), weight)
    for target in ((6, 8), (2, 4), (5, 3)):
        resized = resize_spatial_weight(weight, (3, 4), target)
        # Averages over all tokens stay averages: a constant input gives the old answer, resized.
        wanted = grid_interpolation((3, 4), target) @ weight.sum(0)
        np.testing.assert_allclose(resized.sum(0), wanted, atol=1e-9)
    # Rows and columns follow the grid's two axes: what mixes along one keeps doing so when the other is resized.
    mix, line = rng.randn(4, 4), rng.randn(4)
    along_rows = resize_spatial_weight(np.kron(np.eye(3), mix), (3, 4), (5, 4))
    np.testing.assert_allclose(np.tile(line, 5) @ along_rows, np.tile(line @ mix, 5), atol=1e-9)
    along_columns = resize_spatial_weight(np.kron(mix, np.eye(3)), (4, 3), (4, 5))
    np.testing.assert_allclose(np.repeat(line, 5) @ along_columns, np.repeat(line @ mix, 5), atol=1e-9)


@pytest.mark.parametrize(
    ("tokens", "like", "grid"),
    [(196, (24, 24), (14, 14)), (32, (2, 4), (4, 8)), (32, (8, 4), (8, 4)), (12, (4, 4), None), (7, (1, 7), (1, 7))],
)
def test_likely_grid(tokens, like, grid):
    assert likely_grid(tokens, like) == grid


@pytest.mark.parametrize("size", [32, 8, [24, 12]])
@pytest.mark.parametrize("timm", [False, True])
def test_weights_of_another_image_size(size, timm):
    paddle.seed(0)
    source, model = randomised(tiny()), tiny(image_size=size)
    state = {name: value.numpy() for name, value in source.state_dict().items()}
    if timm:
        state = {
            name.replace("stem", "stem.proj")
            .replace("proj_in", "mlp_channels.fc1")
            .replace("proj_out", "mlp_channels.fc2")
            .replace("sgu.spatial_proj", "mlp_channels.gate.proj")
            .replace("sgu", "mlp_channels.gate"): (v.T if v.ndim == 2 else v)
            for name, v in state.items()
        }
    with pytest.raises(WeightsError, match="6 mis-shaped: "):
        load_weights(model, state, adapt=False)
    report = load_weights(model, state)
    assert report.naming == ("timm" if timm else "ppcls")
    spatial = [f"blocks.{i}.sgu.spatial_proj.{leaf}" for i in range(3) for leaf in ("weight", "bias")]
    assert sorted(report.resized) == sorted(spatial)
    # Tokens that are all alike keep their answers where the spatial projection does not tell them apart.
    for index in range(3):
        before, after = source.blocks[index].sgu.spatial_proj, model.blocks[index].sgu.spatial_proj
        grow = grid_interpolation((4, 4), model.grid)
        np.testing.assert_allclose(after.bias.numpy(), grow @ before.bias.numpy(), atol=1e-5)
        np.testing.assert_allclose(after.weight.numpy().sum(0), grow @ before.weight.numpy().sum(0), atol=1e-4)


def test_a_smooth_image_keeps_its_answer_at_another_size():
    paddle.seed(0)
    source, model = randomised(tiny(image_size=32)), tiny(image_size=64)
    load_weights(model, {name: value.numpy() for name, value in source.state_dict().items()})
    source.eval()
    model.eval()
    x = paddle.ones([1, 3, 32, 32]) * paddle.randn([1, 3, 1, 1])
    large = paddle.ones([1, 3, 64, 64]) * x[:, :, :1, :1]
    np.testing.assert_allclose(model(large).numpy(), source(x).numpy(), rtol=0.1, atol=0.1)


def test_an_unknown_grid_is_refused():
    model = tiny()
    state = {name: value.numpy() for name, value in tiny(image_size=[8, 24]).state_dict().items()}  # 12 tokens
    with pytest.raises(WeightsError, match=r"spatial_proj.weight \[12, 12\] instead of \[16, 16\]"):
        load_weights(model, state)
    state["blocks.0.sgu.spatial_proj.weight"] = np.zeros((12, 16), np.float32)
    with pytest.raises(WeightsError, match=r"spatial_proj.weight \[12, 16\] instead of"):
        load_weights(model, state)


def test_depths():
    model = tiny()
    assert [model.depth_of(n) for n in ("stem.bias", "blocks.2.sgu.norm.bias", "norm.bias", "head.bias")] == [
        0,
        3,
        3,
        4,
    ]
    for wrong in ("blocks.3.norm.bias", "blocks", "blocks.x", "nor"):
        with pytest.raises(ValueError, match="gMLP has no parameter"):
            model.depth_of(wrong)


@pytest.mark.parametrize(("name", "gigamacs"), [("gMLP_Ti16", 1.34), ("gMLP_S16", 4.42), ("gMLP_B16", 15.78)])
def test_multiply_adds_are_as_published(name, gigamacs):
    assert spec(name).macs == pytest.approx(gigamacs * 1e9, rel=0.01)


def state_for(image_size):
    """Return random weights for an image size."""
    model = randomised(tiny(image_size=image_size))
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize(("source", "target"), [([8, 32], 16), ([8, 32], [32, 8]), (16, [8, 32]), ([12, 20], [32, 8])])
def test_weights_of_images_of_other_proportions(source, target):
    state = state_for(source)
    model = tiny(image_size=target)
    before, after = tiny(image_size=source).grid, model.grid
    report = load_weights(model, state, image_size=source)
    assert len(report.resized) == 6
    for name in report.resized:
        found, given = model.state_dict()[name].numpy(), state[name]
        assert "spatial_proj" in name
        if name.endswith("bias"):
            expected = grid_interpolation(before, after) @ given
        else:
            expected = resize_spatial_weight(given, before, after)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    wrong = tiny(image_size=target)
    if before[0] * before[1] == after[0] * after[1]:  # nothing tells: as they are
        assert load_weights(wrong, state).resized == ()
    else:
        with pytest.raises(WeightsError, match="6 mis-shaped"):
            load_weights(wrong, state)
    with pytest.raises(ConfigError, match="image_size: must be one number"):
        load_weights(wrong, state, image_size=[1, 2, 3])


def test_published_weights_are_known_to_be_square(tmp_path, monkeypatch):
    """112x448 px has as many patches as 224x224, so that the shapes alone do not tell."""
    monkeypatch.setenv("PPCLS_HOME", str(tmp_path))
    sizes = {"dim": 8, "depth": 1, "class_num": 3}
    square = randomised(create_model("gMLP_Ti16", **sizes))
    path = tmp_path / "w.pdparams"
    paddle.save(square.state_dict(), str(path))
    given = square.blocks[0].sgu.spatial_proj.weight.numpy()
    wide = create_model("gMLP_Ti16", **sizes, image_size=[112, 448], pretrained=path, pretrained_image_size=224)
    found = wide.blocks[0].sgu.spatial_proj.weight.numpy()
    np.testing.assert_allclose(found, resize_spatial_weight(given, (14, 14), (7, 28)), rtol=1e-4, atol=1e-5)
    same = create_model("gMLP_Ti16", **sizes, image_size=[112, 448], pretrained=path)
    np.testing.assert_array_equal(same.blocks[0].sgu.spatial_proj.weight.numpy(), given)
    assert trained_image_size("gMLP_S16", True) == 224
    assert trained_image_size("gMLP_S16", str(path)) is None


def test_ports_to_paddle_load():
    """PaddleViT's names, in Paddle's layout, where the square spatial projections do not tell."""
    source, model = randomised(tiny()), tiny()
    state = {
        "patch_embed.patch_embed.weight": source.stem.weight,
        "patch_embed.patch_embed.bias": source.stem.bias,
        **{name: source.state_dict()[name] for name in ("norm.weight", "norm.bias", "head.weight", "head.bias")},
    }
    for index, block in enumerate(source.blocks):
        places = {"norm": block.norm, "mlp_channels.fc1": block.proj_in, "mlp_channels.fc2": block.proj_out}
        places.update({"mlp_channels.gate.norm": block.sgu.norm, "mlp_channels.gate.proj": block.sgu.spatial_proj})
        for place, layer in places.items():
            state[f"mixer_layers.{index}.{place}.weight"] = layer.weight
            state[f"mixer_layers.{index}.{place}.bias"] = layer.bias
    report = load_weights(model, {name: tensor.numpy() for name, tensor in state.items()})
    assert report.naming == "PaddleViT"
    for name, tensor in source.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name].numpy(), tensor.numpy())
