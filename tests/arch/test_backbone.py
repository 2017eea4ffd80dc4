"""The base class: what it gives to families, and what happens with layers that do not have it."""

import numpy as np
import paddle
import pytest
import yaml
from paddle import nn

import ppcls
from ppcls.arch import BACKBONES, Backbone, Depth, FeatureInfo, list_models, spec
from ppcls.errors import ConfigError, WeightsError
from ppcls.optimizer.decay import apply_layer_decay
from ppcls.weights import create_model, load_weights

SMALLEST = sorted({spec(n).family: n for n in sorted(list_models(), key=lambda n: -spec(n).macs)}.values())


class Plain(nn.Layer):
    """Somebody else's network: any layer that takes class_num."""

    def __init__(self, class_num: int, width: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2D(3, width, 3, stride=2)
        self.head = nn.Linear(width, class_num)

    def forward(self, x):
        return self.head(self.conv(x).mean([2, 3]))


class Derived(Backbone):
    """The smallest network that has the base class."""

    first_conv = "stem.weight"
    depths = (("stem", Depth.STEM), (r"blocks\.\d+", Depth.BLOCK))

    def __init__(self, class_num: int = 10, in_channels: int = 3, recompute: bool = False) -> None:
        super().__init__(8, in_channels, 4, recompute)
        self.stem = nn.Conv2D(in_channels, 8, 4, stride=4)
        self.blocks = nn.LayerList([nn.Conv2D(8, 8, 1) for _ in range(2)])
        self.feature_info = [FeatureInfo(8, 4)] * 2
        self.reset_classifier(class_num)

    def features(self, x):
        self.check_input(x)
        maps = [self.stem(x)]
        for block in self.blocks:
            maps.append(self.run(block, maps[-1]))
        return maps[1:]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """Register both for one test."""
    monkeypatch.setattr(BACKBONES, "_entries", dict(BACKBONES._entries))
    BACKBONES.register(Plain)
    BACKBONES.register(Derived)


def images(batch=2, size=16):
    return paddle.to_tensor(np.random.RandomState(0).randn(batch, 3, size, size).astype("float32"))


def state_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def test_any_layer_can_be_built_and_loaded(tmp_path):
    model, other = create_model("Plain", class_num=5), create_model("Plain", class_num=5)
    assert model(images()).shape == [2, 5]
    paddle.save(model.state_dict(), str(tmp_path / "w.pdparams"))
    assert load_weights(other, tmp_path / "w").naming == "ppcls"
    np.testing.assert_array_equal(model(images()).numpy(), other(images()).numpy())
    again = create_model("Plain", class_num=3, pretrained=tmp_path / "w", drop_mismatched_head=True)
    np.testing.assert_array_equal(again.conv.weight.numpy(), model.conv.weight.numpy())
    with pytest.raises(WeightsError, match="does not fit Plain, nothing was loaded"):
        load_weights(create_model("Plain", class_num=5, width=6), state_of(model))


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: create_model("Plain", features_only=True), "features_only: needs features, which Plain"),
        (lambda: create_model("Plain", recompute=True), "recompute: Plain does not take it"),
        (lambda: apply_layer_decay(create_model("Plain"), 0.5), "layer_decay: Plain has no depth_of"),
        (lambda: load_weights(create_model("Plain"), {}, image_size=32), "image_size: needs adapt, which Plain"),
    ],
)
def test_what_needs_the_base_class_says_so(use, message):
    with pytest.raises(ConfigError, match=rf"{message}.*derive the class from ppcls\.arch\.Backbone"):
        use()


def test_no_spec():
    with pytest.raises(ConfigError, match="Plain is not one of the package's models, and has no spec"):
        spec("Plain")
    assert create_model("Derived").spec is None


def test_a_small_backbone_has_everything():
    model = create_model("Derived", class_num=5, recompute=True)
    model.train()
    logits = model(images())
    assert logits.shape == [2, 5]
    logits.sum().backward()
    assert model.blocks[0].weight.grad is not None
    names = [name for name, _ in model.named_parameters()]
    assert [model.depth_of(name) for name in names] == [0, 0, 1, 1, 2, 2, 3, 3]
    apply_layer_decay(model, 0.5)
    rates = [parameter.optimize_attr["learning_rate"] for parameter in model.parameters()]
    assert (min(rates), max(rates)) == (0.125, 1.0)
    with pytest.raises(ValueError, match=r"Derived has no parameter 'blocks\.2\.weight'"):
        model.depth_of("blocks.2.weight")
    gray = create_model("Derived", class_num=5, in_channels=1)
    assert load_weights(gray, state_of(model)).channels == "from 3 to 1 channels"
    model.reset_classifier(0)
    assert model(images()).shape == [2, 8]
    assert model.depth_of("head") == 3
    extractor = create_model("Derived", features_only=True)
    assert [m.shape for m in extractor(images())] == [[2, 8, 4, 4]] * 2


class Unfinished(Backbone):
    """Has the base class, and nothing of its own."""

    def __init__(self, class_num: int = 10) -> None:
        super().__init__(8, 3, 4, recompute=False)
        self.reset_classifier(class_num)


def test_an_unfinished_backbone_says_what_is_missing():
    model = Unfinished()
    with pytest.raises(ConfigError, match="Unfinished does not implement features"):
        model(images())
    with pytest.raises(ConfigError, match="Unfinished does not say how deep its layers are: set its attribute depths"):
        model.depth_of("head.weight")
    BACKBONES.register(Unfinished)
    with pytest.raises(ConfigError, match="needs feature_info, which Unfinished does not have; define it"):
        create_model("Unfinished", features_only=True)


@pytest.mark.parametrize("name", SMALLEST)
def test_features_only(name, tmp_path):
    size = spec(name).image_size
    x = images(1, size)
    trained = create_model(name, class_num=3)
    paddle.save(trained.state_dict(), str(tmp_path / "w.pdparams"))
    model = ppcls.create_model(name, features_only=True, pretrained=tmp_path / "w")
    trained.eval()
    model.eval()
    assert model.spec is spec(name)
    assert model.backbone.head is None
    with paddle.no_grad():
        maps, expected = model(x), trained.features(x)
    for found, wanted, info in zip(maps, expected, model.feature_info):
        assert found.shape == [1, info.channels, size // info.stride, size // info.stride]
        np.testing.assert_array_equal(found.numpy(), wanted.numpy())
    assert len(maps) == len(model.feature_info)


def test_feature_maps_can_be_exported(tmp_path):
    model = create_model("ConvMixer", dim=8, depth=4, patch_size=4, kernel_size=3, features_only=True)
    model.eval()
    inputs = [paddle.static.InputSpec([None, 3, 16, 16], "float32")]
    paddle.jit.save(paddle.jit.to_static(model, full_graph=True, input_spec=inputs), str(tmp_path / "net"))
    loaded = paddle.jit.load(str(tmp_path / "net"))
    for found, wanted in zip(loaded(images()), model(images())):
        np.testing.assert_allclose(found.numpy(), wanted.numpy(), rtol=1e-4, atol=1e-5)


def test_any_layer_can_be_trained(recipe):
    values = yaml.safe_load(recipe.read_text())
    values["Arch"] = {"name": "Plain", "class_num": 10}
    values["Global"]["epochs"] = 1
    recipe.write_text(yaml.safe_dump(values))
    config = ppcls.load_config(recipe)
    ppcls.train(config)
    weights = [f"Global.pretrained_model={config.Global.output_dir}/best_model"]
    assert 0 <= ppcls.evaluate(ppcls.load_config(recipe, weights))["top1"] <= 1
    with pytest.raises(ConfigError, match="layer_decay: Plain has no depth_of"):
        ppcls.train(ppcls.load_config(recipe, ["Optimizer.layer_decay=0.5"]))
