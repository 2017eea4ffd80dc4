"""Weight files: what loads, what is refused, and how the message puts it."""

import argparse
import collections
import contextlib
import datetime
import json
import os
import pickle
import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from ppcls.errors import WeightsError
from ppcls.weights import create_model, load_weights, read_weights, restricted_load
from ppcls.weights.placeholders import Placeholder


def tiny(**arguments):
    return create_model("ConvMixer", **{"dim": 8, "depth": 2, "patch_size": 4, "class_num": 8, **arguments})


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def torch_names(model, timm):
    """Return the model's weights as PyTorch files name and lay them out."""
    found = {}
    for name, array in arrays_of(model).items():
        parts = name.replace("_mean", "running_mean").replace("_variance", "running_var").split(".")
        if parts[0] == "stem":
            stem = "stem." if timm else ""
            key = f"{stem}{'0' if parts[1] == 'conv' else '2'}.{parts[2]}"
        elif parts[0] == "blocks":
            block = f"blocks.{parts[1]}" if timm else str(int(parts[1]) + 3)
            inner = {"depthwise": "0.fn.{}", "pointwise": "{}"}[parts[2]]
            place = {("depthwise", "conv"): 0, ("depthwise", "norm"): 2, ("pointwise", "conv"): 1}
            key = f"{block}.{inner.format(place.get((parts[2], parts[3]), 3))}.{parts[4]}"
        else:
            key = f"{'head' if timm else '7'}.{parts[1]}"
            array = array.T if parts[1] == "weight" else array
        found[key] = array
        if key.endswith("running_mean"):
            found[key.replace("running_mean", "num_batches_tracked")] = np.array(3, np.int64)
    return found


def same(model, other):
    return all(np.array_equal(a, b) for a, b in zip(arrays_of(model).values(), arrays_of(other).values()))


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_pdparams(tmp_path, protocol):
    model, other = tiny(), tiny()
    path = tmp_path / "w.pdparams"
    paddle.save(model.state_dict(), str(path), protocol=protocol)
    for given in (path, str(path), tmp_path / "w"):
        found = read_weights(given)
        assert list(found) == list(model.state_dict())
    assert not same(model, other)
    report = load_weights(other, path)
    assert report.naming == "ppcls"
    assert same(model, other)
    # What paddle.load and the allow-list make of the file is the same.
    assert all(np.array_equal(v.numpy(), found[k]) for k, v in paddle.load(str(path)).items())


@pytest.mark.parametrize("protocol", [2, 4])
def test_pdparams_bfloat16(tmp_path, protocol):
    values = paddle.to_tensor([[1.0, -2.5], [3e20, 0.15625]])
    path = tmp_path / "w.pdparams"
    paddle.save({"w": values.astype("bfloat16")}, str(path), protocol=protocol)
    found = read_weights(path)["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, values.astype("bfloat16").astype("float32").numpy())


def test_nested_states(tmp_path):
    path = tmp_path / "o.pdopt"
    state = {
        "model": OrderedDict(a=paddle.ones([2])),
        "step": 3,
        "rate": np.float32(0.5),
        "scalar": paddle.to_tensor(2.0),
        "empty": np.zeros((0, 3), np.float32),
        "list": [1, None, "x", True, (2.5, "y")],
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">f4"),
    }
    for protocol in (2, 3, 4):
        paddle.save(state, str(path), protocol=protocol)
        found = restricted_load(path)
        np.testing.assert_array_equal(found["model"]["a"], np.ones(2, np.float32))
        assert (found["step"], found["rate"], found["scalar"].shape) == (3, 0.5, ())
        assert found["empty"].shape == (0, 3)
        assert found["list"] == state["list"]
        np.testing.assert_array_equal(found["columns"], state["columns"])
        np.testing.assert_array_equal(found["swapped"], [0, 1, 2])
        found["columns"][0, 0] = 7  # writable


def test_safetensors(tmp_path):
    model, other = tiny(), tiny()
    path = tmp_path / "w.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in torch_names(model, timm=True).items()}, str(path))
    report = load_weights(other, tmp_path / "w")
    assert report.naming == "timm"
    assert same(model, other)


def test_safetensors_bfloat16(tmp_path):
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + np.array([0x3F80, 0xC020], "<u2").tobytes())
    np.testing.assert_array_equal(read_weights(path)["w"], [[1.0], [-2.5]])


class Evil:
    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.system, "(posix|nt).system"), (eval, "_*builtins?_*.eval"), (getattr, "_*builtins?_*.getattr")],
)
def test_code_is_refused(tmp_path, protocol, function, name):
    marker = tmp_path / "ran"
    path = tmp_path / "w.pdparams"
    command = f"touch {marker}" if function is os.system else f"open({str(marker)!r}, 'w')"
    path.write_bytes(pickle.dumps({"w": np.ones(2), "x": Evil(function, command)}, protocol=protocol))
    with pytest.raises(WeightsError, match=rf"asks for ({name}|numpy.*_frombuffer).*nothing was run"):
        read_weights(path)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_settings_beside_the_weights(tmp_path, protocol):
    """They become placeholders; nothing of them is built, and none is taken for weights."""
    settings = argparse.Namespace(lr=1, out=Path("/x"), parts={1, 2}, kind=np.float32, config=collections.Counter("ab"))
    others = {"args": settings, "tags": {"a"}, "out": Path("/x"), "day": datetime.date.min}
    content = {"model": {"w": np.ones(2, "f4")}, **others}
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    np.testing.assert_array_equal(read_weights(path)["w"], [1, 1])
    found = restricted_load(path)
    assert [type(found[name]).__mro__[-2] for name in others] == [Placeholder] * 4
    assert not hasattr(found["args"], "lr")
    paddle.save({"model": {"w": paddle.ones([2])}, "args": settings}, str(path))
    np.testing.assert_array_equal(read_weights(path)["w"], [1, 1])
    path.write_bytes(pickle.dumps({"model": argparse.Namespace(w=1)}, protocol=protocol))
    with pytest.raises(WeightsError, match=r"a whole pickled model \(Namespace\)"):
        read_weights(path)
    for harmful in (collections.OrderedDict(a=print), {"a": os.getenv}):
        path.write_bytes(pickle.dumps({"model": {"w": np.ones(2, "f4")}, "args": harmful}, protocol=protocol))
        with pytest.raises(WeightsError, match="refused, because it asks for"):
            read_weights(path)


def test_object_arrays_are_refused(tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps({"w": np.array([1, "a"], dtype=object)}, protocol=4))
    with pytest.raises(WeightsError, match="array of type 'O8'"):
        read_weights(path)


def test_damaged_files(tmp_path):
    """Every cut and many flipped bytes give an error of ours or a valid dict, never another exception."""
    source, path = tmp_path / "w.pdparams", tmp_path / "x.pdparams"
    rng = random.Random(0)
    for protocol in (2, 4):
        paddle.save({"a": paddle.ones([3]), "n": {"b": paddle.ones([2, 2])}}, str(source), protocol=protocol)
        content = source.read_bytes()
        for end in range(len(content)):
            path.write_bytes(content[:end])
            with pytest.raises(WeightsError, match=r"x\.pdparams: damaged"):
                restricted_load(path)
        for _ in range(1500):
            changed = bytearray(content)
            for _ in range(rng.randint(1, 3)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            path.write_bytes(changed)
            with contextlib.suppress(WeightsError):
                assert isinstance(restricted_load(path), dict)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.pdparams", b"version https://git-lfs.github.com/spec/v1", "damaged, or not a file of paddle.save"),
        ("w.pdparams", pickle.dumps([1, 2]), "expected a dict of arrays, found list"),
        ("w.pdparams", pickle.dumps({"epoch": 3}), "not a weight file: 'epoch' is an int"),
        ("w.pdparams", pickle.dumps({}), "holds no tensors"),
        ("w.pdparams", pickle.dumps({"UnpackBigParamInfor@@": {}}), "protocol=4"),
        ("w.safetensors", b"\x10\0\0\0\0\0\0\0{", "damaged, or not a safetensors file"),
        ("w.onnx", b"\x08\x07", "not a known format; weights are files of Paddle"),
    ],
)
def test_not_weights(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_weights(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match=r"no weight file at .*gone; tried .*gone\.pdparams, .*gone\.safetensors"):
        read_weights(tmp_path / "gone")


@pytest.mark.parametrize("wrapper", ["model", "state_dict", "state_dict_ema"])
def test_wrappers(tmp_path, wrapper):
    model, other = tiny(), tiny()
    inner = {f"module.{name}": array for name, array in torch_names(model, timm=False).items()}
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps({wrapper: inner, "epoch": 3}, protocol=4))
    report = load_weights(other, path)
    assert report.naming == "locuslab/convmixer"
    assert same(model, other)
    assert len(report.dropped) == 5
    assert all(name.endswith("num_batches_tracked") for name in report.dropped)


def test_the_average_is_preferred(tmp_path):
    path = tmp_path / "w.pdparams"
    path.write_bytes(pickle.dumps({"state_dict": {"w": np.zeros(1)}, "state_dict_ema": {"w": np.ones(1)}}, protocol=4))
    assert read_weights(path)["w"] == 1


@pytest.mark.parametrize("timm", [False, True])
def test_square_projection_is_transposed(timm):
    model, other = tiny(), tiny()  # 8 features, 8 classes: the shape does not tell
    load_weights(other, torch_names(model, timm))
    np.testing.assert_array_equal(model.head.weight.numpy(), other.head.weight.numpy())


def test_everything_wrong_is_listed_and_nothing_loaded():
    model = tiny()
    before = arrays_of(model)
    weights = arrays_of(tiny())
    del weights["stem.conv.bias"]
    weights["blocks.1.pointwise.conv.weight"] = np.zeros((8, 8, 3, 3), np.float32)
    weights["stem.norm.weight"] = np.zeros(8, np.int64)
    weights.update({f"extra.{i}": np.zeros(1, np.float32) for i in range(12)})
    with pytest.raises(WeightsError) as caught:
        load_weights(model, weights, drop_mismatched_head=True)
    text = str(caught.value)
    assert "does not fit ConvMixer, nothing was loaded" in text
    assert "1 missing: stem.conv.bias" in text
    assert "12 unexpected: extra.0, " in text
    assert "extra.9, ... and 2 more" in text
    assert "1 mis-shaped: blocks.1.pointwise.conv.weight [8, 8, 3, 3] instead of [8, 8, 1, 1]" in text
    assert "1 of another type than floating-point numbers: stem.norm.weight holds int64" in text
    assert all(np.array_equal(before[name], array) for name, array in arrays_of(model).items())


@pytest.mark.parametrize("timm", [None, False, True])
def test_another_class_count(timm):
    source, model = tiny(class_num=5), tiny(class_num=3)
    weights = arrays_of(source) if timm is None else torch_names(source, timm)
    fresh = model.head.weight.numpy()
    with pytest.raises(WeightsError, match=r"the weights have 5 classes, the model has class_num 3.*drop_mismatched"):
        load_weights(model, weights)
    report = load_weights(model, weights, drop_mismatched_head=True)
    assert report.fresh == ("head.bias", "head.weight")
    assert "freshly initialised: head.bias, head.weight" in str(report)
    np.testing.assert_array_equal(model.head.weight.numpy(), fresh)
    np.testing.assert_array_equal(model.stem.conv.weight.numpy(), source.stem.conv.weight.numpy())


def test_a_head_that_fits_is_kept():
    source, model = tiny(), tiny()
    assert load_weights(model, arrays_of(source), drop_mismatched_head=True).fresh == ()
    assert same(source, model)


def test_no_head():
    headless = arrays_of(tiny(class_num=0))
    model = tiny(class_num=3)
    with pytest.raises(WeightsError, match="the weights have no classifier, the model has class_num 3"):
        load_weights(model, headless)
    assert load_weights(model, headless, drop_mismatched_head=True).fresh == ("head.bias", "head.weight")
    features = tiny(class_num=0)
    with pytest.raises(WeightsError, match="the weights have 3 classes, the model has class_num 0"):
        load_weights(features, arrays_of(model))
    report = load_weights(features, arrays_of(model), drop_mismatched_head=True)
    assert sorted(report.dropped) == ["head.bias", "head.weight"]


def test_another_variant_is_detected():
    # The published file's names and sizes, without its half a minute of numbers.
    weights = torch_names(create_model("ConvMixer_256_8", class_num=10), timm=True)
    with pytest.raises(WeightsError, match=r"it looks like ConvMixer_256_8 \(timm names\)"):
        load_weights(tiny(), weights)
    with pytest.raises(WeightsError, match=r"it looks like another ConvMixer \(ppcls names\)"):
        load_weights(tiny(), arrays_of(tiny(depth=3)))
    with pytest.raises(WeightsError, match="nothing was loaded:\n"):
        load_weights(tiny(), {"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)})


def test_half_precision_file():
    source, model = tiny(), tiny()
    load_weights(model, {name: array.astype(np.float16) for name, array in arrays_of(source).items()})
    assert model.stem.conv.weight.dtype == paddle.float32
    np.testing.assert_allclose(model.stem.conv.weight.numpy(), source.stem.conv.weight.numpy(), rtol=1e-3)
