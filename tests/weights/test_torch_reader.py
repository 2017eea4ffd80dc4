"""PyTorch's files without PyTorch: what is read, what is refused, and that nothing in them is ever run."""

import contextlib
import pickle
import random
import sys
import zipfile

import numpy as np
import pytest

from ppcls.errors import WeightsError
from ppcls.weights import create_model, load_weights, read_weights
from ppcls.weights.names import namings_of
from tests.utils.hostile_pickles import HOSTILE
from tests.weights.torch_files import Call, Name, Reference, Weights

both = pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])


def tiny(**arguments):
    return create_model("ConvMixer", **{"dim": 8, "depth": 2, "patch_size": 4, "class_num": 5, **arguments})


def timm_state(model):
    naming = next(naming for naming in namings_of(model) if naming.source == "timm")
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    names = naming.restore(list(state))
    return {names[name]: array.T if name == "head.weight" else array for name, array in state.items()}


def read(path, content, weights, legacy=False, **changes):
    weights.save(path, content, legacy, **changes)
    return read_weights(path)


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
@pytest.mark.parametrize(
    ("module", "name"),
    [
        *(
            ("os", "system"),
            ("posix", "system"),
            ("subprocess", "Popen"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
        ),
        *(("__builtin__", "exec"), ("runpy", "run_path"), ("torch.hub", "load"), ("numpy", "load"), ("torch", "load")),
        *(("functools", "partial"), ("collections", "OrderedDict.fromkeys"), ("numpy.testing", "_private.utils.os")),
        *(("ppcls.cli", "main"), ("importlib", "import_module"), ("shutil", "rmtree"), ("pickle", "Unpickler")),
    ],
)
def test_other_names_are_refused(tmp_path, legacy, protocol, module, name):
    marker = tmp_path / "ran"
    weights = Weights()
    content = {"w": weights.tensor(np.ones(2, "f4")), "x": Call(Name(module, name), (f"touch {marker}",))}
    path = tmp_path / "w.pth"
    weights.save(path, content, legacy, protocol)
    with pytest.raises(
        WeightsError, match=rf"w\.pth: refused, because it asks for {module}\.{name}, .* nothing was run"
    ):
        read_weights(path)
    assert not marker.exists()


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


def test_harmless_classes_are_never_imported(tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    (tmp_path / "someones_settings.py").write_text(f"open({str(marker)!r}, 'w')\nclass Settings: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    weights = Weights()
    settings = Call(Name("someones_settings", "Settings"), (1, 2), {"a": [1]})
    content = {"model": weights.state({"w": np.ones(2, "f4")}), "settings": [settings, settings]}
    assert list(read(tmp_path / "w.pth", content, weights)) == ["w"]
    assert not marker.exists()
    assert "someones_settings" not in sys.modules


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride": (-1,)}, r"w has shape \(4,\), strides \(-1,\)"),
        ({"offset": 1}, "w reaches to number 5 of a storage of 4"),
        ({"offset": -1}, "offset -1"),
        ({"size": (5,)}, "w reaches to number 5"),
        ({"size": (2, 2)}, r"w has shape \(2, 2\), strides \(1,\)"),
        ({"size": (1 << 62, 1 << 62), "stride": (0, 0)}, "repeats its numbers beyond reason"),
        ({"size": (-4,)}, "has shape"),
        ({"size": (2.0,)}, "not whole numbers"),
        ({"size": 3}, "TypeError"),
        ({"size": (1,) * 99, "stride": (1,) * 99}, "damaged"),
    ],
)
@both
def test_impossible_tensors(tmp_path, legacy, changes, message):
    weights = Weights()
    content = {"w": weights.tensor(np.zeros(4, "f4"), **changes)}
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / "w.pth", content, weights, legacy)


def test_lying_archives(tmp_path):
    path, weights = tmp_path / "w.pth", Weights()
    good = {"w": weights.tensor(np.arange(400, dtype="f4"))}
    for changes, message in (
        ({"compression": zipfile.ZIP_DEFLATED}, "compressed or encrypted"),
        ({"order": b"big"}, "big-endian"),
        ({"extra": ["model/constants.pkl"]}, "TorchScript"),
        ({"extra": ["other/data.pkl"]}, "without PyTorch's data.pkl"),
    ):
        with pytest.raises(WeightsError, match=message):
            read(path, good, weights, **changes)
    weights.save(path, good)
    content = path.read_bytes()
    place = content.index(np.arange(400, dtype="f4").tobytes())
    path.write_bytes(content[:place] + b"\xff" + content[place + 1 :])
    with pytest.raises(WeightsError, match="storage '0' has another checksum"):
        read_weights(path)
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=f"damaged.*it has {len(content) // 2} bytes. Copy or download it again"):
        read_weights(path)
    large = {"w": weights.tensor(np.zeros(4, "f4"), weights.storage(np.zeros(4, "f4"), numel=1 << 40))}
    with pytest.raises(WeightsError, match="storage '1' has 16 bytes instead of"):
        read(path, large, weights)
    del weights.storages["1"]
    with pytest.raises(WeightsError, match="storage '1' is missing"):
        read(path, large, weights)


def test_lying_legacy_files(tmp_path):
    path, weights = tmp_path / "w.pth", Weights()
    content = {"w": weights.tensor(np.arange(4, dtype="f4"))}
    with pytest.raises(WeightsError, match="big-endian"):
        read(path, content, weights, True, little=False)
    for count in (5, -1, 1 << 60):
        with pytest.raises(WeightsError, match="storage '0' is cut off, or its size is wrong"):
            read(path, content, weights, True, counts={"0": count})
    large = {
        "w": weights.tensor(np.zeros(1, "f4"), Reference((*weights.storage(np.zeros(1, "f4"), "0").pid[:4], 1 << 60)))
    }
    with pytest.raises(WeightsError, match="cut off"):
        read(path, large, weights, True, counts={"0": 1 << 60})


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("suffix", ["pth", "legacy", "pdparams"])
def test_hostile_pickles(tmp_path, what, suffix):
    path = tmp_path / f"w.{suffix}"
    if suffix == "pdparams":
        path.write_bytes(HOSTILE[what])
    else:
        getattr(Weights(), "save_legacy" if suffix == "legacy" else "save_zip")(path, HOSTILE[what])
    with pytest.raises(WeightsError, match=r"w\.\w+: ") as caught:
        read_weights(path)
    assert len(str(caught.value)) < 1000


def test_messages_show_names_without_steering_the_terminal(tmp_path):
    path, weights = tmp_path / "w.pth", Weights()
    for content, shown in (
        ({"x": Call(Name("os", "\x1b[2Jsystem"), ())}, r"asks for os.\x1b[2Jsystem,"),
        ({"x\x1b]0;" + "y" * 10_000: 1}, r"not a weight file: 'x\\x1b]0;y"),
    ):
        with pytest.raises(WeightsError) as caught:
            read(path, content, weights)
        assert shown in str(caught.value)
        assert len(str(caught.value)) < 600
    with pytest.raises(WeightsError, match=r"unexpected: \\x07w$"):
        load_weights(tiny(), {**timm_state(tiny()), "\x07w": np.ones(1, "f4")})


def test_repeated_lists_in_paddle_files_take_no_time(tmp_path):
    content = [0]
    for _ in range(60):
        content = [content, content]
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({"w": np.zeros(1), "x": content}, protocol=4))
    with pytest.raises(WeightsError, match="'x' is a list"):
        read_weights(tmp_path / "w.pdparams")


@both
def test_damaged_files(tmp_path, legacy):
    """Cut and changed files give an error of ours or arrays, never another exception."""
    rng, path, weights = random.Random(0), tmp_path / "w.pth", Weights()
    settings = Call(Name("argparse", "Namespace"), (), {"lr": 0.1})
    weights.save(
        path, {"model": weights.state({"a": np.ones((2, 3), "f4"), "b": np.ones(2, "f2")}), "s": settings}, legacy
    )
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(WeightsError, match=r"w\.pth: "):
            read_weights(path)
    for _ in range(500):
        changed = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        path.write_bytes(changed)
        with contextlib.suppress(WeightsError):
            assert isinstance(read_weights(path), dict)


def test_what_is_not_a_state_dict(tmp_path):
    path, weights = tmp_path / "w.pth", Weights()
    network = Call(Name("torch.nn.modules.container", "Sequential"), (), {"training": True})
    for content in (network, {"model": network, "epoch": 1}):
        with pytest.raises(WeightsError, match=r"a whole pickled model \(Sequential\).*save its state_dict"):
            read(path, content, weights)
    with pytest.raises(
        WeightsError, match=r"functools\.partial \(for a whole pickled model, it seems: save its state_dict"
    ):
        read(path, [network, Call(Name("functools", "partial"), (1,))], weights)
    with pytest.raises(WeightsError, match="expected a dict of arrays, found a list"):
        read(path, [1], weights)
    with pytest.raises(WeightsError, match="'epoch' is a int"):
        read(path, {"w": weights.tensor(np.ones(1, "f4")), "epoch": 1}, weights)
    for start, message in (
        (b"<!DOCTYPE html>", "a web page"),
        (bytes(257) + b"ustar", "tar archive"),
        (b"version https://git-lfs", "a pointer of git-lfs"),
    ):
        path.write_bytes(start)
        with pytest.raises(WeightsError, match=message):
            read_weights(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w.npy", b"")
    with pytest.raises(WeightsError, match=r"a zip archive without PyTorch's data\.pkl"):
        read_weights(path)
