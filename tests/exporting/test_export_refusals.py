"""Exports that would be wrong, are ended or cannot be written leave the earlier one; damaged ones are not used."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest

import ppcls
from ppcls.errors import ConfigError, DataError, ExportError, MachineError
from ppcls.exporting.comparison import Expected, compare
from ppcls.exporting.images import Sample
from ppcls.exporting.options import Options
from ppcls.inference import description
from ppcls.inference.backends import open_backend
from tests.helpers.exports import FAMILIES, prepared
from tests.helpers.recipes import ROOT

pytest.importorskip("onnxruntime", reason='needs pip install ".[onnx]"')
pytest.importorskip("paddle2onnx", reason='needs pip install ".[onnx]"')


def test_a_loss_of_accuracy_is_refused_and_the_earlier_export_stays(digits, tmp_path):
    config = prepared("ConvMixer", digits, tmp_path)
    ppcls.export(config)
    before = {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()}
    wrong = tmp_path / "calibration"  # nearly black images: ranges that fit no other
    wrong.mkdir()
    for number in range(4):
        cv2.imwrite(str(wrong / f"{number}.png"), np.full((16, 16, 3), number, np.uint8))
    labels = [int(answer["class_ids"][0]) for answer in ppcls.Predictor(tmp_path / "model").predict(digits / "val")]
    assert len(set(labels)) > 3
    names = sorted(path.name for path in (digits / "val").iterdir())
    own = tmp_path / "own_list.txt"  # labels that the model answers right
    own.write_text("".join(f"val/{name} {label}\n" for name, label in zip(names, labels)))
    sure = ppcls.load_config(tmp_path / "recipe.yaml", [f"DataLoader.Eval.dataset.cls_label_path={own}"])
    with pytest.raises(
        ExportError, match=r"top1 1\.0000 -> 0\.\d+ on 40 images: falls by more than --max-drop 0\.05\."
    ) as refused:
        ppcls.export(sure, Options(int8=True, calibration=str(wrong), calibration_images=4, max_drop=0.05))
    for said in ("nor the other files of this command", "an earlier export still stands", "allow more with --max-drop"):
        assert said in str(refused.value)
    assert {file.name: file.read_bytes() for file in (tmp_path / "model").iterdir()} == before
    wanted = Options(int8=True, self_contained=True, calibration=str(wrong), calibration_images=4, max_drop=1.0)
    models = ppcls.export(sure, wanted)["models"]
    for name in ("inference_int8.onnx", "inference_int8_self_contained.onnx"):
        accuracy = models[name]["top1"]
        assert accuracy["before"] == 1 > accuracy["after"]
        measured = ppcls.evaluate_export(sure, tmp_path / "model" / name)
        assert measured["top1"] == accuracy["after"]
    assert "top1" not in models["inference_self_contained.onnx"]


def test_a_model_that_answers_otherwise_is_not_left_behind(digits, tmp_path):
    import paddle

    config = prepared("ConvMixer", digits, tmp_path)
    weights = paddle.load(f"{tmp_path}/weights.pdparams")
    scales = {"conv.weight": 1e7, "conv.bias": 1e7, "norm._mean": 1e7, "norm._variance": 1e14}  # cancel each other
    for name, scale in scales.items():
        weights[f"stem.{name}"] = weights[f"stem.{name}"] * scale
    paddle.save(weights, f"{tmp_path}/weights.pdparams")
    ppcls.export(config, Options(onnx=True))
    shutil.rmtree(tmp_path / "model")
    with pytest.raises(ExportError, match=r"inference_fp16\.onnx\) differs from the trained one: a probability by"):
        ppcls.export(config, Options(fp16=True))  # 1e7 is more than float16 holds
    assert not (tmp_path / "model").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_another_models_answers_are_told_apart_where_all_probabilities_are_small(digits, tmp_path):
    """Of 1000 classes, untrained, no probability is above 0.0012, while those of float16 may be 0.02 off."""
    import paddle

    sample = Sample([], np.random.default_rng(0).standard_normal((4, 3, 16, 16)).astype(np.float32))
    changes = {"Arch.class_num": 1000, "Infer.PostProcess.class_id_map_file": "null"}
    config = prepared("ConvMixer", digits, tmp_path, **changes)
    expected = {}
    for seed in (2, 1):
        paddle.seed(seed)
        model = ppcls.create_model("ConvMixer", class_num=1000, **FAMILIES["ConvMixer"])
        model.eval()
        expected[seed] = Expected.of(model, sample, [], "softmax")
    paddle.save(model.state_dict(), f"{tmp_path}/weights.pdparams")
    ppcls.export(config, Options(fp16=True))
    for name in ("inference.onnx", "inference_fp16.onnx"):
        assert compare(expected[1], tmp_path / "model" / name, "onnx")["logit_error"] < 0.01
        with pytest.raises(ExportError, match=rf"\({re.escape(name)}\) differs from the trained one: "):
            compare(expected[2], tmp_path / "model" / name, "onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 22}, "opset 22: from 13 to 21"),
        ({"calibration": "somewhere"}, "only int8 needs images"),
        ({"int8": True, "calibration_images": 0}, "calibration_images: expected a positive number"),
        ({"int8": True, "max_drop": 2}, "max_drop: expected a share"),
        ({"image_size": (0, 4)}, "image_size: expected positive numbers"),
    ],
)
def test_options_that_make_no_sense(options, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        Options(**options)


def test_damaged_and_strange_onnx_files_are_refused(copy_of_convmlp, tmp_path):
    import onnx

    path = copy_of_convmlp / "inference_self_contained.onnx"
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged, message in (
        (whole[:-9], "bytes are missing|not an ONNX model"),
        (whole[:middle], "bytes are missing"),
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "damaged, or changed"),
        (b"", "it has no graph"),
        (b"<html>not found</html>", "not an ONNX model"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"inference_self_contained\.onnx: .*({message})"):
            ppcls.Predictor(path)
    stranger = tmp_path / "stranger.onnx"
    model = onnx.load_model_from_string(whole)
    del model.metadata_props[:]
    onnx.save(model, str(stranger))
    with pytest.raises(DataError, match=r"stranger\.onnx: no description in its metadata"):
        ppcls.Predictor(stranger)


def test_an_opset_that_the_runtime_does_not_know(convmlp, tmp_path):
    import onnx

    from ppcls.exporting.onnx import write

    values = description.read(convmlp[1] / "inference.onnx").values
    advice = r"future\.onnx: too new for this ONNX Runtime; install a newer one, or export with a lower --opset\. "
    for change in (lambda model: setattr(model.opset_import[0], "version", 99), lambda m: setattr(m, "ir_version", 99)):
        model = onnx.load(str(convmlp[1] / "inference.onnx"))
        change(model)
        write(model, tmp_path / "future.onnx", values)
        with pytest.raises(DataError, match=advice + r"ONNX Runtime [\d.]+ cannot run it: .*99") as refused:
            ppcls.Predictor(tmp_path / "future.onnx")
        assert "::" not in str(refused.value)  # no names of C++


def test_batches_of_another_shape_or_type(convmlp):
    _, folder = convmlp
    for path, backend in ((folder, "paddle"), (folder, "onnx"), (folder / "inference_self_contained.onnx", "onnx")):
        model = open_backend(description.read(path), backend)
        for batch in (
            np.zeros((2, 3, 20, 20), np.float32),
            np.zeros((3, 16, 16), np.float32),
            np.zeros((2, 3, 16, 16), np.float64),
        ):
            with pytest.raises(DataError, match=r"takes a batch of shape \[B, "):
                model.run(batch)


def test_a_full_disk_leaves_nothing(digits, tmp_path, run):
    prepared("ConvMLP", digits, tmp_path)
    command = ("export", "-c", tmp_path / "recipe.yaml", "--onnx", "-o", "Global.pretrained_model=weights")
    before = sorted(path.name for path in tmp_path.iterdir())
    run(*command)
    model = tmp_path / "model"
    sizes = sorted(path.stat().st_size for path in model.iterdir() if path.suffix != ".yml")
    shutil.rmtree(model)
    for size in sizes:  # one file after the other does not fit
        done = run(*command, code=2, limit=size - 1)
        assert "nothing was exported" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_export_that_is_ended_leaves_nothing(digits, tmp_path):
    prepared("ConvMLP", digits, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    command = [sys.executable, "-m", "ppcls", "export", "-c", "recipe.yaml", "--self-contained", "-o"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "Global.pretrained_model=weights"], cwd=tmp_path, env=environment)
    while not any(tmp_path.glob(".model.*/*")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_missing_converter_is_an_error_before_any_work(digits, tmp_path, run):
    prepared("ConvMixer", digits, tmp_path)
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "paddle2onnx.py").write_text("raise ImportError('not installed')")
    arguments = ("export", "-c", tmp_path / "recipe.yaml", "--onnx")
    done = run(*arguments, code=2, process=True, environment={"PYTHONPATH": f"{tmp_path}/without:{ROOT}"})
    assert 'pip install ".[onnx]"' in done.stderr
    assert MachineError.exit_code == 2


def test_what_the_converter_writes_is_checked(digits, tmp_path, run):
    prepared("ConvMixer", digits, tmp_path)
    (tmp_path / "other").mkdir()
    wrong = "def export(model, parameters, target, **options):\n    open(target, 'wb').write(b'trash')\n"
    (tmp_path / "other" / "paddle2onnx.py").write_text(wrong)
    arguments = ("export", "-c", tmp_path / "recipe.yaml", "--onnx", "-o", "Global.pretrained_model=weights")
    done = run(*arguments, code=2, process=True, environment={"PYTHONPATH": f"{tmp_path}/other:{ROOT}"})
    assert "paddle2onnx did not write an ONNX model" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "model").exists()


def test_a_broken_image_to_calibrate_on_is_named(digits, tmp_path):
    config = prepared("ConvMixer", digits, tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    (images / "page.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"page\.png: .*; repair or remove it, or calibrate on others: --calibration"):
        ppcls.export(config, Options(int8=True, calibration=str(images)))
    assert not (tmp_path / "model").exists()


def test_what_interrupts_an_export_at_its_end_leaves_the_earlier_one(tmp_path):
    from ppcls.exporting import target_dir

    for name in ("new", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    with pytest.raises(FileNotFoundError):  # as a signal between the two renames
        target_dir.replace(tmp_path / "gone", tmp_path / "model", "weights")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model"]
    (tmp_path / "model" / "inference.old").touch()
    (tmp_path / "model" / "mine").mkdir()
    target_dir.replace(tmp_path / "new", tmp_path / "model", "weights")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["mine", "model", "new"]
