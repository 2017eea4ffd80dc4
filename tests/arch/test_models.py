"""The contract of a backbone, for every registered variant: a new family is covered by registering."""

import contextlib

import numpy as np
import paddle
import pytest
from paddle import nn

from ppcls.arch import BACKBONES, list_models, ops, spec
from ppcls.arch.backbone.fixed_size import FixedSizeBackbone
from ppcls.errors import ConfigError, WeightsError
from ppcls.utils import environment
from ppcls.weights import create_model, load_weights
from ppcls.weights.names import name_schemes_of
from tests.helpers.exports import FAMILIES

# The cheapest variant of each family, for what costs a backward pass.
SMALLEST = sorted({spec(n).family: n for n in sorted(list_models(), key=lambda n: -spec(n).macs)}.values())


def is_fixed(name):
    """Return whether a variant takes images of one size only."""
    return issubclass(BACKBONES[spec(name).family].target, FixedSizeBackbone)


def small_model(name, **arguments):
    """Return a variant for small images, which are enough for what does not depend on their size."""
    return create_model(name, **({"image_size": small_size(name)} if is_fixed(name) else {}), **arguments)


def small_size(name):
    return min(64, spec(name).image_size)


def images(name, batch=1, channels=3, size=None):
    """Return images, small ones unless a size is given."""
    size = size or small_size(name)
    return paddle.to_tensor(np.random.RandomState(0).randn(batch, channels, size, size).astype("float32"))


def with_random_head(model):
    """Return the model; a head that starts from zeros would hide what the trunk computes."""
    model.head.weight.set_value(paddle.randn(model.head.weight.shape))
    return model


@pytest.fixture(scope="module", params=list_models())
def built(request):
    """Return a variant's name, the model, and the multiply-adds of one forward pass with its result."""
    name = request.param
    model = create_model(name, class_num=spec(name).class_num)
    model.eval()
    macs = []

    def count(layer, _, output):
        if isinstance(layer, nn.Conv2D):
            macs.append(int(np.prod(output.shape[1:])) * int(np.prod(layer.weight.shape[1:])))
        elif isinstance(layer, nn.Linear):
            macs.append(int(np.prod(output.shape[1:])) * layer.weight.shape[0])

    hooks = [layer.register_forward_post_hook(count) for layer in model.sublayers()]
    with paddle.no_grad(), ops.plain_operators():  # which calls every layer
        last = model.forward_features(images(name, size=spec(name).image_size))
        logits = model.forward_head(last)
    for hook in hooks:
        hook.remove()
    return name, model, sum(macs), last, logits


def test_facts(built):
    name, model, macs, _, logits = built
    facts = spec(name)
    assert sum(p.size for p in model.parameters() if p.trainable) == facts.params
    assert macs == facts.macs
    assert facts.name == name
    assert facts.family in BACKBONES
    assert facts.paper.startswith("https://")
    assert 0 < facts.crop_pct <= 1
    assert logits.shape == [1, facts.class_num]


def test_features(built):
    name, model, _, last, _ = built
    size = spec(name).image_size if is_fixed(name) else 2 * model.feature_info[-1].stride
    with paddle.no_grad():
        maps = model.features(images(name, size=size))
    expected = [[1, info.channels, size // info.stride, size // info.stride] for info in model.feature_info]
    assert [m.shape for m in maps] == expected
    assert last.shape[1] == model.num_features


def test_depths(built):
    _, model, *_ = built
    depths = {name: model.depth_of(name) for name, _ in model.named_parameters()}
    assert min(depths.values()) == 0
    assert sorted(set(depths.values())) == list(range(max(depths.values()) + 1))
    assert depths["head.weight"] == depths["head.bias"] == max(depths.values())
    assert sum(depth == max(depths.values()) for depth in depths.values()) == 2
    with pytest.raises(ValueError, match=r"nowhere\.weight"):
        model.depth_of("nowhere.weight")


def test_names(built):
    _, model, *_ = built
    names = list(model.state_dict())
    assert model.no_weight_decay() <= set(names)
    assert name_schemes_of(model)[0].source == "ppcls"
    assert all(name_schemes_of(model)[0].rename(name) == name for name in names)


def test_unknown_argument(built):
    with pytest.raises(ConfigError, match=r"unknown argument 'clas_nm'; did you mean 'class_num'"):
        create_model(built[0], clas_nm=10)


@pytest.mark.parametrize("name", SMALLEST)
def test_classifier(name):
    model = small_model(name, class_num=3)
    model.eval()
    x = images(name, batch=2)
    with paddle.no_grad():
        np.testing.assert_array_equal(model(x).numpy(), model.forward_head(model.forward_features(x)).numpy())
        before = model.head.weight
        for class_num in (0, 0, 7):
            model.reset_classifier(class_num)
            assert model(x).shape == [2, class_num or model.num_features]
    assert model.head.weight is not before
    assert small_model(name, class_num=0)(x).shape == [2, model.num_features]
    for wrong in (-1, 1.5, True):
        with pytest.raises(ConfigError, match="class_num"):
            model.reset_classifier(wrong)


@pytest.mark.parametrize("name", SMALLEST)
def test_input_checks(name):
    model = small_model(name, class_num=3, in_channels=1)
    model.eval()
    assert model(images(name, channels=1)).shape == [1, 3]
    with pytest.raises(ValueError, match=r"expected images of shape \[B, 1, H, W\]"):
        model(images(name))
    with pytest.raises(ValueError, match="smaller than a patch"):
        model(paddle.zeros([1, 1, 1, 1]))


@pytest.mark.parametrize(("given", "wanted"), [(3, 1), (3, 5), (1, 3), (4, 3)])
@pytest.mark.parametrize("name", SMALLEST)
def test_weights_of_another_number_of_channels(name, given, wanted):
    source = small_model(name, class_num=3, in_channels=given)
    model = small_model(name, class_num=3, in_channels=wanted)
    state = {key: value.numpy() for key, value in source.state_dict().items()}
    advice = f"made for images of {given} channels, and in_channels of the model is {wanted}. Build it with"
    for adapt in (False, "image_size"):
        with pytest.raises(
            WeightsError, match=rf"(?s)1 mis-shaped: {source.first_conv}.*{advice} in_channels: {given}"
        ):
            load_weights(model, state, adapt=adapt)
    report = load_weights(model, state)
    assert report.channels == f"from {given} to {wanted} channels"
    assert report.resized == ()
    assert str(report).endswith(f", adapted from {given} to {wanted} channels")
    before, after = state[source.first_conv], model.state_dict()[source.first_conv].numpy()
    assert after.dtype == np.float32
    if wanted == 1:
        np.testing.assert_allclose(after, before.sum(1, keepdims=True), rtol=1e-4, atol=1e-6)
        return
    for channel in range(wanted):
        np.testing.assert_allclose(after[:, channel], before[:, channel % given] * given / wanted, rtol=1e-6)


def _gradients(name, recompute, frozen, bfloat16=False):
    paddle.seed(0)
    model = with_random_head(small_model(name, class_num=3, recompute=recompute))
    for parameter in model.parameters():
        if frozen and model.depth_of(_name_of(model, parameter)) == 0:
            parameter.stop_gradient = True
    model.train()
    with ops.bfloat16_products() if bfloat16 else contextlib.nullcontext():
        loss = model(images(name, batch=2)).square().sum()
    loss.backward()  # where products are not rounded any more
    found = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
    return found, {n: t.numpy() for n, t in model.state_dict().items()}


def _name_of(model, parameter):
    return next(name for name, own in model.named_parameters() if own is parameter)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", SMALLEST)
def test_gradient_checkpointing_changes_nothing_but_memory(name, frozen):
    gradients, state = _gradients(name, False, frozen)
    again, state_again = _gradients(name, True, frozen)
    assert gradients.keys() == again.keys()
    assert bool(frozen) == (len(gradients) < len([n for n in state if not n.endswith(("_mean", "_variance"))]))
    for key in gradients:
        np.testing.assert_array_equal(gradients[key], again[key], err_msg=key)
    for key in state:  # batch-norm statistics must not move twice
        np.testing.assert_array_equal(state[key], state_again[key], err_msg=key)


@pytest.mark.skipif(not environment.has_bfloat16(), reason="this processor has no instructions for bfloat16")
@pytest.mark.parametrize("name", SMALLEST)
def test_gradient_checkpointing_computes_the_same_products_again(name):
    gradients, _ = _gradients(name, False, False, bfloat16=True)
    again, _ = _gradients(name, True, False, bfloat16=True)
    for key in gradients:
        np.testing.assert_array_equal(gradients[key], again[key], err_msg=key)


@pytest.mark.parametrize("name", SMALLEST)
def test_same_answer_from_own_weights(name, tmp_path):
    model, other = with_random_head(small_model(name, class_num=3)), small_model(name, class_num=3)
    paddle.save(model.state_dict(), str(tmp_path / "w.pdparams"))
    report = load_weights(other, tmp_path / "w")
    assert len(report.loaded) == len(model.state_dict())
    assert not report.dropped
    assert not report.fresh
    model.eval()
    other.eval()
    np.testing.assert_array_equal(model(images(name)).numpy(), other(images(name)).numpy())


@pytest.mark.parametrize("family", sorted({spec(name).family for name in list_models()}))
def test_static_graph(family):
    model = with_random_head(create_model(family, class_num=3, **FAMILIES[family]))
    model.eval()
    inputs = [paddle.static.InputSpec([None, 3, 16, 16], "float32")]
    x = paddle.randn([2, 3, 16, 16])
    expected = model(x).numpy()
    found = paddle.jit.to_static(model, full_graph=True, input_spec=inputs)(x).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_listing():
    assert {"ConvMixer_256_8", "ConvMixer_1024_20"} <= set(list_models("convmixer*"))
    assert "ConvMixer" not in list_models()
    assert "ConvMixer" in BACKBONES
    assert list_models("nothing*") == []


def test_spec_errors():
    with pytest.raises(ConfigError, match="did you mean 'ConvMixer_768_32'"):
        spec("ConvMixer_768_3")
    with pytest.raises(ConfigError, match="is a family"):
        spec("ConvMixer")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim: must be a whole number of at least 1"),
        ({"depth": 2.5}, "depth: must be a whole number"),
        ({"kernel_size": 4}, "kernel_size: must be odd"),
        ({"act": "gelo"}, "did you mean 'gelu'"),
        ({"in_channels": -3}, "in_channels: must be a whole number of at least 1"),
    ],
)
def test_convmixer_arguments(arguments, message):
    with pytest.raises(ConfigError, match=message):
        create_model("ConvMixer", **{"dim": 8, "depth": 2, **arguments})


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("gMLP_Ti16", {"mlp_ratio": "6"}, "mlp_ratio: must be a number, not '6'"),
        ("gMLP_Ti16", {"recompute": "yes"}, "recompute: must be true or false, not 'yes'"),
        ("CycleMLP_B1", {"skip_lam": None}, "skip_lam: must be a number, not null"),
        ("CycleMLP_B1", {"skip_lam": float("nan")}, "skip_lam: must be a finite number, not nan"),
        ("CycleMLP_B1", {"layers": 3}, "layers: must be a list, not 3"),
        ("ConvMLP_S", {"blocks": 1, "channels": "64"}, "blocks: must be a list, not 1; channels: must be"),
    ],
)
def test_wrong_types(name, arguments, message):
    with pytest.raises(ConfigError, match=f"{name}: {message}"):
        create_model(name, **arguments)


def test_tuples_are_lists():
    assert create_model("gMLP_Ti16", depth=1, image_size=(32, 48)).grid == (2, 3)


@pytest.mark.parametrize(("depth", "blocks"), [(1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (8, [1, 3, 5, 7])])
def test_convmixer_features_end_with_the_last_map(depth, blocks):
    model = create_model("ConvMixer", dim=8, depth=depth, patch_size=4)
    model.eval()
    x = paddle.randn([2, 3, 18, 22])  # the rest of a patch is left out, as in the reference
    assert model.feature_blocks == blocks
    np.testing.assert_array_equal(model.features(x)[-1].numpy(), model.forward_features(x).numpy())


def test_pretrained(tmp_path, monkeypatch):
    monkeypatch.setenv("PPCLS_HOME", str(tmp_path))
    # Put there by hand, so that nothing is fetched.
    file = tmp_path / "weights" / "convmixer_1024_20_ks9_p14.pth.tar"
    file.parent.mkdir()
    paddle.save(create_model("ConvMixer_1024_20", dim=8, depth=1).state_dict(), str(file))
    create_model("ConvMixer_1024_20", dim=8, depth=1, pretrained=True)
    with pytest.raises(WeightsError, match=r"convmixer_1024_20_ks9_p14\.pth\.tar\.safetensors: does not fit"):
        create_model("ConvMixer_1024_20", dim=8, depth=2, pretrained=True)
    with pytest.raises(WeightsError, match="no published weights are known"):
        create_model("ConvMixer_256_8", dim=8, depth=1, pretrained=True)
    with pytest.raises(WeightsError, match="no weight file at"):
        create_model("ConvMixer_256_8", dim=8, depth=1, pretrained="/nowhere/w")
    with pytest.raises(WeightsError, match="a folder; give a weight file"):
        create_model("ConvMixer_256_8", dim=8, depth=1, pretrained="")
    with pytest.raises(WeightsError, match="must be a path, or arrays by name, not NoneType"):
        load_weights(create_model("ConvMixer_256_8", dim=8, depth=1), None)
    with pytest.raises(ConfigError, match="must be a path"):
        create_model("ConvMixer_256_8", dim=8, depth=1, pretrained=3)
