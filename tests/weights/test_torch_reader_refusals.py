"""PyTorch's files that are damaged, that lie, or that would run code: refused, and nothing in them is ever run."""

import contextlib
import pickle
import random
import sys
import zipfile

import numpy as np
import pytest

from ppcls.errors import WeightsError
from ppcls.weights import load_weights, read_weights
from tests.utils.hostile_pickles import HOSTILE
from tests.weights.torch_files import Call, Name, Reference, Weights, both, read, timm_state, tiny


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
    with pytest.raises(WeightsError, match="'epoch' is an int"):
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
