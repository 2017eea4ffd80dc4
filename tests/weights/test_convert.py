"""Conversions: exact there and back, in every format and naming."""

import json
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import paddle
import pytest

from ppcls.errors import WeightsError
from ppcls.weights import create_model, load_weights, read_weights
from ppcls.weights.convert import convert_weights
from ppcls.weights.writer import write_weights
from tests.helpers.recipes import ROOT

TINY = {"dim": 8, "depth": 2, "patch_size": 4, "class_num": 5}


@pytest.fixture
def trained(tmp_path):
    """Return a weight file of ours with statistics that are not the initial ones."""
    model = create_model("ConvMixer", **TINY)
    model(paddle.randn([2, 3, 8, 8]))
    paddle.save(model.state_dict(), str(tmp_path / "ours.pdparams"))
    return tmp_path / "ours.pdparams"


def convert(source, target, **options):
    return convert_weights(
        source, target, model="ConvMixer", arguments={k: TINY[k] for k in ("dim", "depth", "patch_size")}, **options
    )


def assert_same(path, other):
    first, second = read_weights(path), read_weights(other)
    assert set(first) == set(second)
    for name, array in first.items():
        assert (array.dtype, array.shape) == (second[name].dtype, second[name].shape), name
        assert array.tobytes() == second[name].tobytes(), name


@pytest.mark.parametrize("suffix", ["pth", "pth.tar", "safetensors", "pdparams"])
@pytest.mark.parametrize("naming", ["official", "timm", "ppcls"])
def test_round_trips_are_exact(tmp_path, trained, suffix, naming):
    there, back = tmp_path / f"there.{suffix}", tmp_path / "back.pdparams"
    done = convert(trained, there, naming=naming)
    assert done["format"] == {"pth": "torch", "pth.tar": "torch"}.get(suffix, suffix)
    convert(there, back, naming="ppcls")
    assert_same(trained, back)
    convert(back, tmp_path / f"again.{suffix}", naming=naming)
    assert_same(there, tmp_path / f"again.{suffix}")
    if suffix != "pdparams":  # Paddle gives its variables running numbers
        assert there.read_bytes() == (tmp_path / f"again.{suffix}").read_bytes()
    model = create_model("ConvMixer", **TINY)
    load_weights(model, there)
    assert all(np.array_equal(tensor.numpy(), read_weights(trained)[n]) for n, tensor in model.state_dict().items())


def test_reference_names_layout_and_counters(tmp_path, trained):
    ours = read_weights(trained)
    convert(trained, tmp_path / "o.pth")
    convert(trained, tmp_path / "t.pth", naming="timm")
    official, timm = read_weights(tmp_path / "o.pth"), read_weights(tmp_path / "t.pth")
    assert list(official)[:7] == [*("0.weight", "0.bias", "2.weight", "2.bias"), *(f"2.{x}" for x in COUNTED)]
    assert list(timm)[:7] == [f"stem.{name}" for name in list(official)[:7]]
    for state, head in ((official, "7.weight"), (timm, "head.weight")):
        assert state[head].shape == (5, 8)
        np.testing.assert_array_equal(state[head].T, ours["head.weight"])


COUNTED = ("running_mean", "running_var", "num_batches_tracked")


def test_counters_survive_where_the_names_stay(tmp_path, trained):
    convert(trained, tmp_path / "a.pth")
    state = read_weights(tmp_path / "a.pth")
    state["2.num_batches_tracked"] = np.array(1234, np.int64)
    write_weights(state, tmp_path / "b.safetensors", "safetensors")
    done = convert(tmp_path / "b.safetensors", tmp_path / "c.pth")
    assert done["left_out"] == []
    assert read_weights(tmp_path / "c.pth")["2.num_batches_tracked"] == 1234
    done = convert(tmp_path / "b.safetensors", tmp_path / "d.pdparams")
    assert "2.num_batches_tracked" in done["left_out"]


def test_the_authors_cycle_mlp_gets_its_offsets(tmp_path):
    """Their layers hold where they sample as buffers, [1, 2 * C, 1, 1], which strict loads ask for."""
    sizes = {"layers": [1, 1], "embed_dims": [8, 12], "mlp_ratios": [2, 2], "class_num": 3}
    paddle.save(create_model("CycleMLP", **sizes).state_dict(), str(tmp_path / "w.pdparams"))
    convert_weights(tmp_path / "w", tmp_path / "w.pth", model="CycleMLP", arguments=sizes)
    state = read_weights(tmp_path / "w.pth")
    offsets = {name: array.reshape(-1, 2) for name, array in state.items() if name.endswith("offset")}
    assert sorted(offsets) == [f"network.{i}.0.attn.sfc_{axis}.offset" for i in (0, 2) for axis in "hw"]
    assert state["network.2.0.attn.sfc_h.offset"].shape == (1, 24, 1, 1)
    cycle = [[0, 1, -1][channel % 3] for channel in range(8)]  # (i + 3 // 2) % 3 - 3 // 2
    np.testing.assert_array_equal(offsets["network.0.0.attn.sfc_h.offset"], [[0, x] for x in cycle])
    np.testing.assert_array_equal(offsets["network.0.0.attn.sfc_w.offset"], [[y, 0] for y in cycle])
    convert_weights(tmp_path / "w.pth", tmp_path / "back.pdparams", model="CycleMLP", arguments=sizes)
    assert_same(tmp_path / "w.pdparams", tmp_path / "back.pdparams")


def test_registered_variants_are_detected_with_any_class_count(tmp_path):
    model = create_model("ConvMixer_256_8", class_num=3)
    paddle.save(model.state_dict(), str(tmp_path / "w.pdparams"))
    convert_weights(tmp_path / "w", tmp_path / "w.pth")
    done = convert_weights(tmp_path / "w.pth", tmp_path / "back.safetensors")
    assert done["naming"] == {"from": "locuslab/convmixer", "to": "ppcls"}
    assert_same(tmp_path / "w.pdparams", tmp_path / "back.safetensors")


def test_what_cannot_be_converted(tmp_path, trained):
    with pytest.raises(WeightsError, match=r"looks like another ConvMixer \(ppcls names\).*give model="):
        convert_weights(trained, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="does not fit ConvMixer, nothing was loaded"):
        convert_weights(trained, tmp_path / "x.pth", model="ConvMixer", arguments={**TINY, "depth": 1})
    with pytest.raises(WeightsError, match="the suffix does not tell the format"):
        convert(trained, tmp_path / "x.weights")
    with pytest.raises(WeightsError, match="naming: must be one of official, timm, ppcls"):
        convert(trained, tmp_path / "x.pth", naming="mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match="cannot be written"):
        convert(trained, tmp_path / "file" / "x.pth")
    assert not list(tmp_path.glob("*x.*"))


def test_written_archives_are_as_torch_writes_them(tmp_path):
    arrays = {"a": np.arange(6, dtype="f4").reshape(2, 3).T, "b": np.array(3, "i8"), "c": np.zeros((0, 2), "f8")}
    write_weights(arrays, tmp_path / "w.pth", "torch")
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        assert archive.testzip() is None
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
        for entry in archive.infolist():
            with archive.open(entry) as opened:
                opened.read(0)
                assert archive.fp.tell() % 64 == 0, entry.filename

        class Names(pickle.Unpickler):
            def find_class(self, module, name):
                return lambda *arguments: {} if name == "OrderedDict" else (f"{module}.{name}", *arguments)

            def persistent_load(self, pid):
                return pid[0], pid[1]()[0], *pid[2:]

        content = Names(archive.open("archive/data.pkl")).load()
    storage = ("storage", "torch.FloatStorage", "0", "cpu", 6)
    assert content["a"] == ("torch._utils._rebuild_tensor_v2", storage, 0, (3, 2), (2, 1), False, {})
    assert content["b"][3:5] == ((), ())
    for name, array in read_weights(tmp_path / "w.pth").items():
        np.testing.assert_array_equal(array, arrays[name])
    with pytest.raises(WeightsError, match=r"c: PyTorch.s files cannot hold numbers of type complex64"):
        write_weights({"c": np.zeros(1, "c8")}, tmp_path / "x.pth", "torch")


def test_command_line(tmp_path, trained, run):
    sizes = [f"--argument={key}={value}" for key, value in TINY.items()]
    done = run(
        "convert", trained, tmp_path / "w.bin", "--to", "torch", "--naming", "timm", "--model", "ConvMixer", *sizes
    )
    assert json.loads(done.stdout)["naming"] == {"from": "ppcls", "to": "timm"}
    tool = [sys.executable, ROOT / "tools" / "convert_weights.py", tmp_path / "w.bin", tmp_path / "back.pdparams"]
    subprocess.run([*tool, "--model", "ConvMixer", *sizes], check=True, cwd="/", capture_output=True)
    assert_same(trained, tmp_path / "back.pdparams")
    assert "error: no weight file at" in run("convert", tmp_path / "gone", tmp_path / "w.pth", code=2).stderr
