"""What only CycleMLP has; the contract of all families is in test_models.py."""

import re

import numpy as np
import paddle
import pytest
from paddle import inference, nn

from ppcls.arch import BACKBONES, list_models, spec
from ppcls.arch.layers.cycle_fc import CycleFC
from ppcls.errors import ConfigError, WeightsError
from ppcls.weights import create_model, load_weights


def tiny(**arguments):
    sizes = {"layers": [1, 2], "embed_dims": [8, 12], "mlp_ratios": [2, 1.5], "class_num": 5}
    return create_model("CycleMLP", **{**sizes, **arguments})


def images(*shape):
    return paddle.to_tensor(np.random.RandomState(0).standard_normal(shape).astype("float32"))


def authors_names(model, torch):
    """Return the model's weights as the authors' code, or a Paddle port of it, names and lays them out."""
    projections = {f"{name}.weight" for name, layer in model.named_sublayers() if isinstance(layer, nn.Linear)}
    found = {}
    for name, tensor in model.state_dict().items():
        key = re.sub(r"^stem", "patch_embed.proj", name)
        key = re.sub(r"^stages\.(\d)\.downsample", lambda m: f"network.{2 * int(m[1]) - 1}.proj", key)
        key = re.sub(r"^stages\.(\d)\.blocks", lambda m: f"network.{2 * int(m[1])}", key)
        for ours, theirs in (("mixer", "attn"), ("fc_c", "mlp_c"), ("fc_h", "sfc_h"), ("fc_w", "sfc_w")):
            key = key.replace(ours, theirs)
        found[key] = tensor.numpy().T if torch and name in projections else tensor.numpy()
        if re.search(r"sfc_[hw]\.weight", key):
            found[key.replace("weight", "offset")] = np.zeros((1, 2 * found[key].shape[1], 1, 1), np.float32)
    return found


@pytest.mark.parametrize(
    ("torch", "source"), [(True, "ShoufaChen/CycleMLP"), (False, "ShoufaChen/CycleMLP, Paddle's layout,")]
)
def test_weights_of_the_authors(torch, source):
    model, other = tiny(), tiny()
    weights = authors_names(model, torch)
    report = load_weights(other, weights)
    assert report.naming == source
    assert len(report.dropped) == 6  # offsets, two per block
    assert all(name.endswith(".offset") for name in report.dropped)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), other.state_dict()[name].numpy(), err_msg=name)
    with pytest.raises(WeightsError, match=r"1 unexpected: norm0\.weight"):  # of the authors' dense networks
        load_weights(other, {**weights, "norm0.weight": np.ones(8, np.float32)})


def test_initialisation():
    """As the authors' code: normal with deviation .02 for all projections, PyTorch's defaults for convolutions."""
    paddle.seed(1)
    model = create_model("CycleMLP_B1")
    for name, layer in model.named_sublayers(include_self=True):
        if isinstance(layer, (nn.Linear, CycleFC)):
            values = layer.weight.numpy()
            error = 5 / np.sqrt(values.size)
            assert abs(values.mean()) < 0.02 * error, name
            assert values.std() == pytest.approx(0.02, rel=error), name
            assert np.abs(values).max() > 0.02 * 2.3, name  # Paddle's own truncated normal ends at 2 deviations
            assert layer.bias is None or not layer.bias.numpy().any(), name
        elif isinstance(layer, nn.Conv2D):
            bound = np.prod(layer.weight.shape[1:]) ** -0.5
            for values in (layer.weight.numpy(), layer.bias.numpy()):
                assert 0.9 * bound < np.abs(values).max() <= bound, name
        elif isinstance(layer, nn.LayerNorm):
            assert (layer.weight.numpy() == 1).all(), name
            assert not layer.bias.numpy().any(), name
    assert model.stages[0].blocks[0].mixer.fc_c.bias is None
    model.reset_classifier(50)
    assert model.head.weight.numpy().std() == pytest.approx(0.02, rel=0.05)


@pytest.mark.parametrize(("height", "width"), [(224, 224), (33, 47), (4, 70), (101, 8)])
def test_any_size(height, width):
    model = tiny(layers=[1, 1, 1, 1], embed_dims=[8, 8, 12, 16], mlp_ratios=[2, 2, 2, 2])
    model.eval()
    x = images(2, 3, height, width)
    with paddle.no_grad():
        maps = model.features(x)
        assert model(x).shape == [2, 5]
        np.testing.assert_array_equal(maps[-1].numpy(), model.forward_features(x).numpy())
    sizes = [[(side - 3) // 4 + 1 for side in (height, width)]]
    for _ in range(3):
        sizes.append([(side + 1) // 2 for side in sizes[-1]])
    assert [m.shape for m in maps] == [[2, info.channels, *size] for info, size in zip(model.feature_info, sizes)]
    assert [info.stride for info in model.feature_info] == [4, 8, 16, 32]
    for m in maps:  # a fresh model's norms do not scale either
        np.testing.assert_allclose(m.numpy().mean(1), 0, atol=1e-5)


def test_export_with_any_size(tmp_path):
    model = tiny()
    model.eval()
    inputs = [paddle.static.InputSpec([None, 3, None, None], "float32")]
    paddle.jit.save(paddle.jit.to_static(model, full_graph=True, input_spec=inputs), str(tmp_path / "net"))
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for shape in ([2, 3, 64, 64], [1, 3, 37, 90]):
        np.testing.assert_allclose(loaded(images(*shape)).numpy(), model(images(*shape)).numpy(), rtol=1e-4, atol=1e-6)
    # Paddle Inference runs other kernels (oneDNN).
    graph = next(str(path) for path in tmp_path.iterdir() if path.suffix in (".json", ".pdmodel"))
    config = inference.Config(graph, str(tmp_path / "net.pdiparams"))
    config.disable_gpu()
    config.enable_mkldnn()
    predictor = inference.create_predictor(config)
    entry = predictor.get_input_handle(predictor.get_input_names()[0])
    for shape in ([2, 3, 64, 64], [1, 3, 37, 90]):
        entry.reshape(shape)
        entry.copy_from_cpu(images(*shape).numpy())
        predictor.run()
        found = predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()
        np.testing.assert_allclose(found, model(images(*shape)).numpy(), rtol=1e-4, atol=1e-6)


def test_drop_path_grows_over_all_stages():
    rates = [block.drop_path.rate for stage in tiny(drop_path_rate=0.2).stages for block in stage.blocks]
    assert rates == pytest.approx([0, 0.1, 0.2])
    model = create_model("CycleMLP_B1", drop_path_rate=0.1)
    rates = [block.drop_path.rate for stage in model.stages for block in stage.blocks]
    np.testing.assert_allclose(rates, np.linspace(0, 0.1, 10), atol=1e-9)


@pytest.mark.parametrize("name", ["drop_rate", "attn_drop_rate", "drop_path_rate"])
def test_rates_act_in_training_only(name):
    model = tiny(**{name: 0.5})
    x = images(4, 3, 32, 32)
    assert not np.array_equal(model(x).numpy(), model(x).numpy())
    model.eval()
    plain = tiny()
    plain.eval()
    load_weights(plain, {key: tensor.numpy() for key, tensor in model.state_dict().items()})
    np.testing.assert_array_equal(model(x).numpy(), plain(x).numpy())


def test_checkpointing_drops_the_same_paths():
    gradients = []
    for recompute in (False, True):
        paddle.seed(3)
        model = tiny(drop_path_rate=0.5, drop_rate=0.2, recompute=recompute)
        model.train()
        paddle.seed(4)
        model(images(8, 3, 32, 32)).square().sum().backward()
        gradients.append({name: p.grad.numpy() for name, p in model.named_parameters()})
    for name, gradient in gradients[0].items():
        np.testing.assert_array_equal(gradient, gradients[1][name], err_msg=name)


def test_published_multiply_adds():
    """The paper's numbers count five operations for each element of each norm, which ours leave out."""
    published = {"B1": 2.1, "B2": 3.9, "B3": 6.9, "B4": 10.1, "B5": 12.3}
    for name in list_models("CycleMLP_*"):
        sizes = BACKBONES[name].defaults
        elements = [2 * n * d * (56 >> i) ** 2 for i, (n, d) in enumerate(zip(sizes["layers"], sizes["embed_dims"]))]
        assert round((spec(name).macs + 5 * sum(elements)) / 1e9, 1) == published[name[-2:]]


def test_options():
    biased = tiny(qkv_bias=True)
    assert biased.stages[0].blocks[0].mixer.fc_c.bias.shape == [8]
    assert tiny(kernel_size=5).stages[0].blocks[0].mixer.fc_w.cycle_size == 5
    scaled, plain = tiny(skip_lam=2.0), tiny()
    load_weights(scaled, {key: tensor.numpy() for key, tensor in plain.state_dict().items()})
    assert not np.array_equal(scaled(images(1, 3, 16, 16)).numpy(), plain(images(1, 3, 16, 16)).numpy())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": [1]}, r"must have one entry per stage each, not \[1, 2, 2\]"),
        ({"layers": [], "embed_dims": [], "mlp_ratios": []}, "must have one entry per stage"),
        ({"layers": [0, 1]}, "layers: must be a whole number of at least 1"),
        ({"embed_dims": [8, 2]}, "embed_dims: must be a whole number of at least 4, not 2"),
        ({"mlp_ratios": [0, 2]}, "mlp_ratios: must leave a hidden width"),
        ({"kernel_size": 4}, "kernel_size: must be odd"),
        ({"drop_path_rate": 1.0}, "drop_path_rate: must be a number of at least 0 and below 1"),
        ({"drop_rate": -0.1}, "drop_rate: must be a number of at least 0 and below 1"),
        ({"skip_lam": 0.0}, "skip_lam: must be a positive number"),
        ({"fork_feat": True}, "unknown argument 'fork_feat'"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**arguments)


def test_depths():
    model = tiny()
    assert model.depth_of("stem.weight") == 0
    assert model.depth_of("stages.1.downsample.bias") == model.depth_of("stages.1.blocks.0.norm1.weight") == 2
    assert model.depth_of("norm.weight") == model.depth_of("stages.1.blocks.1.mlp.fc1.weight") == 3
    assert model.depth_of("head.weight") == 4
    for wrong in ("stages.2.blocks.0.x", "stages.0.blocks.1.x", "stages.0.x", "stagess.0.blocks.0"):
        with pytest.raises(ValueError, match="has no parameter"):
            model.depth_of(wrong)
