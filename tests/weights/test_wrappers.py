"""What other programs put around the weights, seen through, chosen from, and refused."""

import pickle

import numpy as np
import pytest
from safetensors.numpy import save_file

from ppcls.errors import WeightsError
from ppcls.utils.logging import get_logger
from ppcls.weights import create_model, load_weights, read_weights
from ppcls.weights.names import name_schemes_of
from tests.weights.torch_files import Weights, timm_state, tiny

FORMATS = pytest.mark.parametrize("suffix", ["pth", "pdparams"])


@pytest.fixture
def log(caplog, monkeypatch):
    """Return what is logged."""
    monkeypatch.setattr(get_logger(), "propagate", True)
    return caplog


def prefixed(state, prefix):
    return {prefix + name: array for name, array in state.items()}


def zeros(state):
    return {name: array * 0 for name, array in state.items()}


def write(path, content):
    """Write nested dicts of arrays as PyTorch or Paddle does, or prefixed names as safetensors."""
    if path.suffix == ".safetensors":
        save_file({name: np.ascontiguousarray(array) for name, array in content.items()}, str(path))
    elif path.suffix == ".pdparams":
        path.write_bytes(pickle.dumps(content, protocol=4))
    else:
        weights = Weights()
        weights.save(path, torch_content(weights, content))
    return path


def torch_content(weights, value):
    if isinstance(value, np.ndarray):
        return weights.tensor(value)
    return {key: torch_content(weights, item) for key, item in value.items()} if isinstance(value, dict) else value


def assert_loaded(model, state):
    found = timm_state(model)
    assert set(found) == set(state)
    for name, array in state.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.fixture
def state():
    return timm_state(tiny())


def wrapped_once(state):
    """Return contents with one copy of the weights, by what they are."""
    moments = {"state": {0: {"exp_avg": np.ones(3, "f4")}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    keys = ("model_state_dict", "net", "params", "teacher", "student", "ema", "ema_state_dict", "state_dict_ema")
    contents = {key: {key: state, "epoch": 3, "optimizer": moments} for key in (*keys, "model_ema", "weights")}
    head = {name: array for name, array in state.items() if name.startswith("head.")}
    trunk = {name: array for name, array in state.items() if name not in head}
    fc = {name.replace("head.", "head.fc."): array for name, array in head.items()}
    backbone = prefixed(trunk, "backbone.")
    for prefix in ("model.", "net.", "module."):
        contents[f"lightning {prefix}"] = {
            "state_dict": prefixed(state, prefix),
            "pytorch-lightning_version": "2.1.0",
            "hyper_parameters": {"lr": 0.1},
            "optimizer_states": [moments],
            "callbacks": {"EarlyStopping": {"best": np.ones(2, "f4")}},
        }
    return {
        **contents,
        "lightning loss": {"state_dict": {**prefixed(state, "model."), "criterion.weight": np.ones(5, "f4")}},
        "lightning compiled": {"state_dict": prefixed(state, "model._orig_mod.")},
        "lightning head": {"state_dict": {**prefixed(trunk, "model."), **head}},
        "mm": {"meta": {"epoch": 3}, "state_dict": {**backbone, **head}, "optimizer": moments},
        "mm fc": {"meta": {"mmengine_version": "0.10"}, "state_dict": {**backbone, **fc}, "param_schedulers": []},
        "mm pixels": {"state_dict": {**backbone, **fc, "data_preprocessor.mean": np.ones(3, "f4")}},
        "mm parallel": {"state_dict": {**prefixed(backbone, "module."), **prefixed(fc, "module.")}},
        "nested": {"checkpoint": 1, "model": {"ema": {"state_dict": prefixed(state, "module._orig_mod.module.")}}},
        "yolo": {"ema": {"model": state, "updates": 10}, "epoch": 3},
        "shadow": {"ema": {"decay": 0.99, "shadow": state}},
        "compiled part": prefixed({n.replace("blocks.", "blocks._orig_mod."): a for n, a in state.items()}, "module."),
    }


@FORMATS
@pytest.mark.parametrize("kind", [*wrapped_once({})])
def test_one_copy_is_found(tmp_path, state, suffix, kind, log):
    path = write(tmp_path / f"w.{suffix}", wrapped_once(state)[kind])
    model = tiny()
    report = load_weights(model, path)
    assert_loaded(model, state)
    assert "several copies" not in log.text
    # What is left out is said.
    extra = {"lightning loss": "criterion.weight", "mm pixels": "data_preprocessor.mean"}.get(kind)
    assert (extra in report.dropped and extra in log.text) if extra else not log.text
    assert set(read_weights(path)) == set(state)


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.", "_orig_mod.", "backbone.", "ema.module.", "teacher."])
def test_prefixes_in_safetensors(tmp_path, state, prefix):
    model = tiny()
    load_weights(model, write(tmp_path / "w.safetensors", prefixed(state, prefix)))
    assert_loaded(model, state)


def several(state):
    """Return contents with several copies, and the key of the one to take."""
    other = zeros(state)
    mm = {"state_dict": state, "ema_state_dict": {"steps": np.array(3), **prefixed(other, "module.")}}
    return {
        "model, ema": ({"model": other, "ema": state}, "ema"),
        "student, teacher": ({"student": other, "teacher": state}, "teacher"),
        "all": ({"state_dict": other, "teacher": other, "student": other, "model_ema": state}, "model_ema"),
        "timm": ({"state_dict": other, "state_dict_ema": state}, "state_dict_ema"),
        "swa": ({"state_dict": other, "swa_state_dict": state}, "swa_state_dict"),
        "torch swa": (
            {"model": other, "avg_model": {"n_averaged": np.array(3), **prefixed(state, "module.")}},
            "avg_model",
        ),
        "capitals": ({"State_Dict": other, "model_EMA": state}, "model_EMA"),
        "all capitals": ({"model": other, "EMA": state}, "EMA"),
        # Lightning: WeightAveraging swaps the two, and keeps a counter; other callbacks keep an average.
        "weight averaging": (
            {"state_dict": state, "current_model_state": other, "averaging_state": {"n_averaged": np.array(3)}},
            "state_dict",
        ),
        "averaging state": ({"state_dict": other, "averaging_state": state}, "averaging_state"),
        "callback": (
            {
                "state_dict": prefixed(other, "model."),
                "callbacks": {"EMA{'decay': 0.9}": {"ema_state_dict": state, "step": 3}, "Stop": {"best": np.ones(2)}},
            },
            "callbacks.EMA{'decay': 0.9}.ema_state_dict",
        ),
        "best": ({"state_dict": state, "best_state_dict": other}, "state_dict"),
        "inside": ({"model": {"net": other, "ema_model": state}}, "model.ema_model"),
        "prefixes": ({"state_dict": {**prefixed(other, "model."), **prefixed(state, "ema.")}}, "state_dict.ema"),
        # A distillation of PaddleClas trains the student.
        "paddleclas": ({**prefixed(other, "Teacher."), **prefixed(state, "Student.")}, "Student"),
        "paddleclas, mutual": ({**prefixed(state, "Student1."), **prefixed(other, "Student2.")}, "Student1"),
        # MMEngine's hook swaps the two when it saves.
        "mmengine": ({"meta": {"mmengine_version": "0.10.3"}, **mm}, "state_dict"),
    }


@FORMATS
@pytest.mark.parametrize("kind", [*several({})])
def test_the_average_comes_first_then_the_teacher(tmp_path, state, suffix, kind, log):
    content, key = several(state)[kind]
    path, model = write(tmp_path / f"w.{suffix}", content), tiny()
    report = load_weights(model, path)
    assert_loaded(model, state)
    assert report.key == key
    assert f"holds several copies of weights: took {key} (" in log.text
    log.clear()
    load_weights(model, path, key=key)
    assert_loaded(model, state)
    assert not log.text


@FORMATS
def test_copies_under_unknown_keys_are_mentioned(tmp_path, state, suffix, log):
    other, some = zeros(state), dict(list(state.items())[:5])
    content = {
        "model": state,
        "polyak": other,
        "epoch_3": {"tensors": other},
        "queue": some,
        "optimizer": {"polyak": other},
        "grads": other,
    }
    path, model = write(tmp_path / f"w.{suffix}", content), tiny()
    load_weights(model, path)
    assert_loaded(model, state)
    size = len(state)
    assert f"took model ({size} tensors), not polyak ({size} tensors), epoch_3.tensors ({size} tensors); " in log.text
    log.clear()
    for key, wanted in (("model", state), ("polyak", other), ("epoch_3.tensors", other)):
        load_weights(model, path, key=key)
        assert_loaded(model, wanted)
    assert not log.text  # it was chosen
    with pytest.raises(WeightsError, match=r"there is no 'modell' in it\n.*; choose with key=") as caught:
        load_weights(model, path, key="modell")
    assert all(f"{name} ({size} tensors)" in str(caught.value) for name in ("model", "polyak", "epoch_3.tensors"))


@FORMATS
def test_a_key_chooses(tmp_path, state, suffix, log):
    other = {name: array + 1 for name, array in state.items()}
    content = {"run": {"model": other, "ema": state}, "odd": prefixed(other, "encoder."), "best": {"w": other}}
    path, model = write(tmp_path / f"w.{suffix}", content), tiny()
    for key, wanted in (("run.model", other), ("run.ema", state), ("run", state), ("odd.encoder", other)):
        load_weights(model, path, key=key)
        assert_loaded(model, wanted)
    assert log.text.count("several copies") == 1  # in "run"
    create_model("ConvMixer", dim=8, depth=2, patch_size=4, class_num=5, pretrained=path, weights_key="run.model")
    assert list(read_weights(path, key="best.w")) == list(other)
    for key, message in (
        ("ema", r"there is no 'ema'"),
        ("run.x", r"there is no 'run\.x'"),
        ("best", r"'best': not a weight file: 'w' is a dict"),
    ):
        with pytest.raises(WeightsError, match=message) as caught:
            load_weights(model, path, key=key)
        text = str(caught.value)
        assert str(path) in text
        for name in ("run.model", "run.ema", "odd", "best.w"):
            assert f"{name} ({len(state)} tensors)" in text
    load_weights(model, prefixed(other, "encoder."), key="encoder")
    assert_loaded(model, other)


@FORMATS
def test_what_is_not_known_is_listed(tmp_path, state, suffix):
    with pytest.raises(WeightsError, match=r"'epoch' is an int\nWhat looks like weights in it: mine \(\d+ tensors\)"):
        content = {"epoch": 3, "mine": state, "optimizer": {"mine": state}, "rng_state": {"x": np.ones(3, "u1")}}
        read_weights(write(tmp_path / f"a.{suffix}", content))
    path = write(tmp_path / f"b.{suffix}", {**prefixed(state, "encoder."), "projector.0.weight": np.ones(2, "f4")})
    with pytest.raises(WeightsError, match=rf"looks like weights: encoder \({len(state)} tensors\)"):
        load_weights(tiny(), path)
    model = tiny()
    load_weights(model, path, key="encoder")
    assert_loaded(model, state)
    path = write(tmp_path / f"c.{suffix}", {"model": tiny_state(dim=16), "ema": tiny_state(depth=3)})
    with pytest.raises(WeightsError, match=r"does not fit ConvMixer[^$]*What else in the file looks like.*model \("):
        load_weights(tiny(), path)
    # A part of the model that stands beside it is not left out.
    path = write(tmp_path / f"d.{suffix}", {"state_dict": {**prefixed(state, "model."), "neck.weight": np.ones(2)}})
    with pytest.raises(WeightsError, match=r"33 unexpected[^$]*looks like weights: state_dict\.model \(32"):
        load_weights(tiny(), path)


def tiny_state(**arguments):
    return timm_state(tiny(**arguments))


@pytest.mark.parametrize("key", [None, "optimizer", "optimizer.state"])
def test_the_state_of_an_optimizer_is_never_taken(tmp_path, state, key):
    moments = {f"{name}_moment1_0": array for name, array in state.items()}
    for index, content in enumerate(
        (
            {"optimizer": moments, "LR_Scheduler": {"last_epoch": 3}},
            {"optimizer": {"state": {0: {"exp_avg": np.ones(3, "f4")}}, "param_groups": []}},
            {"optimizer": {"state": {name: {"exp_avg": array} for name, array in state.items()}}},
            moments,
            {f"{name}/moment1": array for name, array in state.items()},
        )
    ):
        with pytest.raises(WeightsError, match=r"no 'optim|state of an optimizer|not a weight file|not a dict"):
            read_weights(write(tmp_path / f"{index}.pdparams", content), key)


def test_names_of_the_model_are_no_prefixes(tmp_path):
    """Other people's networks may call their parts as prefixes are called."""
    import paddle

    class Net(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.backbone = paddle.nn.Linear(3, 4)
            self.module = paddle.nn.Linear(4, 2)

    source, model = Net(), Net()
    state = {name: tensor.numpy() for name, tensor in source.state_dict().items()}
    for content in (state, prefixed(state, "module."), {"ema": prefixed(state, "model.module.")}):
        model = Net()
        load_weights(model, write(tmp_path / "w.pdparams", content))
        for name, tensor in model.state_dict().items():
            np.testing.assert_array_equal(tensor.numpy(), state[name])


def test_dicts_that_hold_themselves_end(tmp_path):
    content = {"epoch": 1}
    content["model"] = content
    nested = {"model": {"epoch": 3}}
    for _ in range(60):
        nested = {"model": nested, "net": nested, "ema": nested}
    for value in (content, nested):
        path = tmp_path / "w.pth"
        path.write_bytes(b"")
        weights = Weights()
        if value is content:
            (tmp_path / "w.pdparams").write_bytes(pickle.dumps(value, protocol=4))
            with pytest.raises(WeightsError):
                read_weights(tmp_path / "w.pdparams")
            continue
        weights.save(path, value)
        with pytest.raises(WeightsError, match="nested too deeply: more than 32 levels"):
            read_weights(path)


@pytest.mark.parametrize("suffix", ["pth", "pdparams", "safetensors"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(tmp_path, state, suffix, value):
    name = next(iter(state))
    state[name] = state[name].copy()
    state[name].ravel()[:2] = value
    path, model = write(tmp_path / f"w.{suffix}", state), tiny()
    before = timm_state(model)
    size = state[name].size
    message = rf"w\.{suffix}: 1 of {len(state)} tensors .* not finite \(NaN or infinity\): {name} \(2 of {size}"
    with pytest.raises(WeightsError, match=message):
        load_weights(model, path)
    with pytest.raises(WeightsError, match="NaN or infinity"):
        read_weights(path)
    with pytest.raises(WeightsError, match=r"NaN or infinity\): stem\.conv\.weight"):
        load_weights(model, state)
    assert_loaded(model, before)


def test_numbers_beyond_float32_are_refused():
    model = tiny()
    state = {name: tensor.numpy().astype(np.float64) for name, tensor in model.state_dict().items()}
    load_weights(model, state)
    state["head.bias"][0] = 1e300
    with pytest.raises(WeightsError, match=r"head\.bias \(1 of 5 numbers\)"):
        load_weights(model, state)


def test_every_scheme_is_recognised_under_its_prefix(tmp_path):
    """The names of a family are never taken for a prefix."""
    for family, arguments in (
        ("ConvMixer", {"dim": 8, "depth": 2, "patch_size": 4}),
        ("gMLP", {"dim": 8, "depth": 2, "patch_size": 4, "image_size": 8}),
        ("CycleMLP_B1", {}),
        ("ConvMLP_S", {}),
    ):
        model = create_model(family, class_num=5, **arguments)
        names = list(model.state_dict())
        for scheme in name_schemes_of(model):
            given = scheme.restore(names)
            for prefix in ("", "module.", "model._orig_mod."):
                content = {f"{prefix}{name}": np.zeros(1, "f4") for name in given.values()}
                found = read_weights(write(tmp_path / "w.safetensors", content))
                assert set(found) == set(given.values()), (family, scheme.source, prefix)
