"""PyTorch's files without PyTorch: what is read, what is refused, and that nothing in them is ever run."""

import numpy as np
import pytest

from ppcls.errors import WeightsError
from ppcls.weights import load_weights, read_weights
from tests.weights.torch_files import Call, Name, Reference, Weights, both, read, timm_state, tiny


@both
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("suffix", ["pth", "pth.tar", "pt", "bin", "pdparams", "anything"])
def test_the_content_tells_the_format(tmp_path, legacy, protocol, suffix):
    weights = Weights()
    expected = {"a": np.arange(6, dtype="f4").reshape(2, 3), "b": np.array(7, "i8"), "c": np.zeros((0, 2), "f4")}
    found = read(tmp_path / f"w.{suffix}", weights.state(expected), weights, legacy, protocol=protocol)
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


@both
def test_types_are_widened(tmp_path, legacy):
    weights = Weights()
    content = {
        "half": weights.tensor(np.array([1.5, -65504], "f2")),
        "bfloat16": weights.tensor(np.array([0x3F80, 0xC020], "u2")),
        "double": weights.parameter(np.array([1e300])),
        "byte": weights.tensor(np.array([255], "u1")),
    }
    found = read(tmp_path / "w.pth", content, weights, legacy)
    expected = {"half": ("f4", [1.5, -65504]), "bfloat16": ("f4", [1, -2.5]), "double": ("f8", [1e300])}
    for name, (dtype, values) in {**expected, "byte": ("u1", [255])}.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], values)


@both
def test_views_and_shared_storages(tmp_path, legacy):
    weights, base = Weights(), np.arange(24, dtype="f4").reshape(4, 6)
    storage = weights.storage(base)
    content = {
        "whole": weights.tensor(base, storage),
        "transposed": weights.tensor(base, storage, size=(6, 4), stride=(1, 6)),
        "piece": weights.tensor(base, storage, offset=8, size=(2, 2), stride=(6, 2)),
        "expanded": weights.tensor(base, storage, offset=3, size=(5,), stride=(0,)),
        "empty": weights.tensor(base, storage, offset=24, size=(0, 9), stride=(9, 1)),
    }
    found = read(tmp_path / "w.pth", content, weights, legacy)
    np.testing.assert_array_equal(found["whole"], base)
    np.testing.assert_array_equal(found["transposed"], base.T)
    np.testing.assert_array_equal(found["piece"], [[8, 10], [14, 16]])
    np.testing.assert_array_equal(found["expanded"], [3] * 5)
    assert found["empty"].shape == (0, 9)
    found["whole"][0, 3] = 99
    assert found["expanded"][0] == 3
    assert found["transposed"][3, 0] == 3


def test_legacy_views_of_storages(tmp_path):
    weights = Weights()
    kind, key, _, numel = weights.storage(np.arange(10, dtype="f4")).pid[1:]
    view = Reference(("storage", kind, key, "cpu", numel, ("view", 4, 3)))
    inside = weights.tensor(np.zeros(3, "f4"), view)
    np.testing.assert_array_equal(read(tmp_path / "w.pth", {"w": inside}, weights, True)["w"], [4, 5, 6])
    with pytest.raises(WeightsError, match="w reaches to number 4 of a storage of 3"):
        read(tmp_path / "w.pth", {"w": weights.tensor(np.zeros(3, "f4"), view, offset=1)}, weights, True)


@both
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("wrapper", ["state_dict_ema", "model_ema", "state_dict", "model"])
def test_checkpoints_are_seen_through(tmp_path, legacy, prefix, wrapper):
    weights, model, other = Weights(), tiny(), tiny()
    state = {prefix + name: array for name, array in timm_state(model).items()}
    settings = Call(Name("argparse", "Namespace"), (), {"lr": 0.1, "out": Call(Name("pathlib", "PosixPath"), ("/x",))})
    content = {
        "epoch": 3,
        "args": settings,
        "config": Call(Name("yacs.config", "CfgNode"), ({"a": 1},)),
        "device": Call(Name("torch", "device"), ("cuda", 0)),
        "optimizer": {"state": {0: {"exp_avg": weights.tensor(np.ones(3, "f4"))}}, "param_groups": [{"lr": 0.1}]},
        wrapper: weights.state(state),
    }
    if wrapper.endswith("ema"):
        content["state_dict"] = weights.state({name: array * 0 for name, array in state.items()})
        content["n_averaged"] = 3
    weights.save(tmp_path / "checkpoint.pth.tar", content, legacy)
    assert load_weights(other, tmp_path / "checkpoint").naming == "timm"
    for ours, theirs in zip(model.state_dict().values(), other.state_dict().values()):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_the_counter_of_an_average_is_no_weight(tmp_path):
    weights = Weights()
    state = weights.state({"n_averaged": np.array(5, "i8"), "module.w": np.ones(2, "f4")})
    assert list(read(tmp_path / "w.pth", state, weights)) == ["w"]


@both
@pytest.mark.parametrize("protocol", [2, 4])
def test_settings_beside_the_weights(tmp_path, legacy, protocol):
    """What real checkpoints keep there: types, arrays of NumPy's, its generators, activations, layouts."""
    weights, array = (
        Weights(),
        Call(Name("numpy._core.multiarray", "_reconstruct"), (Name("numpy", "ndarray"), (0,), b"b")),
    )
    strings = Call(Name("numpy", "dtype"), ("U2", False, True), (3, "<", None, None, None, 8, 4, 8))
    content = {
        "model": weights.state({"w": np.ones(2, "f4")}),
        "types": [Name("__builtin__", "int"), Name("builtins", "list"), Name("numpy", "float32")],
        "names": Call(array.function, array.arguments, (1, (1,), strings, False, b"a\0\0\0b\0\0\0")),
        "meters": Call(Name("collections", "defaultdict"), (Name("__builtin__", "list"),)),
        "random": Call(Name("numpy.random._pickle", "__randomstate_ctor"), ("MT19937",), {"bit_generator": "MT19937"}),
        "act": [Name("torch.nn.functional", "relu"), Name("torch._C._nn", "gelu")],
        "layout": Call(Name("torch.serialization", "_get_layout"), ("torch.strided",)),
        "number": Name("torch", "complex64"),
        "sparse": Call(Name("torch._utils", "_rebuild_sparse_tensor"), (1, 2)),
    }
    assert list(read(tmp_path / "w.pth", content, weights, legacy, protocol=protocol)) == ["w"]


def test_tensors_that_are_no_plain_numbers(tmp_path):
    def rebuilt(name, *arguments):
        return Call(Name("torch._utils", name), arguments)

    weights = Weights()
    plain = weights.tensor(np.ones(2, "f4"))
    hooks = plain.arguments[-1]
    negated = rebuilt("_rebuild_tensor_v2", *plain.arguments, {"neg": True})
    float8 = rebuilt(
        *("_rebuild_tensor_v3", weights.storage(np.ones(2, "u1")), 0, (2,), (1,), False, hooks),
        Name("torch", "float8_e4m3fn"),
    )
    quantized = rebuilt(
        "_rebuild_qtensor", plain.arguments[0], 0, (2,), (1,), (Name("torch", "per_tensor_affine"), 1.0, 0)
    )
    for tensor, message in (
        (negated, r"to be negated or conjugated; save it after resolve_neg\(\)"),
        (float8, r"a tensor of float8_e4m3fn numbers; save it after float\(\)"),
        (quantized, r"a quantized tensor; save it after dequantize\(\)"),
        (rebuilt("_rebuild_sparse_tensor", 1, (plain,)), r"a sparse tensor; save it after to_dense\(\)"),
        (rebuilt("_rebuild_meta_tensor_no_storage", 1), "which has no numbers"),
    ):
        with pytest.raises(WeightsError, match=f"not a weight file: 'w' is .*{message}"):
            read(tmp_path / "w.pth", {"w": tensor}, weights)
    found = read(tmp_path / "w.pth", {"w": rebuilt("_rebuild_tensor_v2", *plain.arguments, {"neg": False})}, weights)
    assert list(found["w"]) == [1, 1]


def test_an_empty_average_is_none(tmp_path):
    weights = Weights()
    content = {"model_ema": {}, "state_dict_ema": None, "model": weights.state({"w": np.ones(2, "f4")})}
    assert list(read(tmp_path / "w.pth", content, weights)) == ["w"]


def test_archives_without_checksums(tmp_path):
    """``torch.serialization.set_crc32_options(False)`` leaves them 0."""
    weights, path = Weights(), tmp_path / "w.pth"
    weights.save(path, {"w": weights.tensor(np.ones(2, "f4"))})
    content = bytearray(path.read_bytes())
    for start, place in ((b"PK\x03\x04", 14), (b"PK\x01\x02", 16)):
        at = content.find(start)
        while at >= 0:
            content[at + place : at + place + 4] = bytes(4)
            at = content.find(start, at + 1)
    path.write_bytes(content)
    assert list(read_weights(path)["w"]) == [1, 1]


def test_stand_ins_cannot_be_changed(tmp_path):
    """A pickle can set attributes of what it gets; the functions that serve the next file must stay as they are."""
    for target in (
        Name("torch._utils", "_rebuild_tensor_v2"),
        Name("collections", "OrderedDict"),
        Name("numpy", "dtype"),
    ):
        for state in ({"_call": 1}, (None, {"_call": 1, "__setstate__": 2})):
            content = {"x": Call(Name("torch._utils", "_rebuild_parameter"), (target,), state)}
            with pytest.raises(WeightsError, match="damaged"):
                read(tmp_path / "w.pth", content, Weights())
    test_views_and_shared_storages(tmp_path, legacy=False)
