"""Exported models in OpenVINO, in float32 and bfloat16."""

import json
import shutil
import sys

import numpy as np
import pytest
import yaml

import ppcls
from ppcls import Predictor
from ppcls.errors import ConfigError, DataError, MachineError
from ppcls.inference.agreement import differences, logit_error, within_tolerance
from tests.helpers.exports import assert_same_answers, changed

pytest.importorskip("openvino", reason='needs pip install ".[openvino]"')
from ppcls.inference.backends.openvino import has_bfloat16

needs_bfloat16 = pytest.mark.skipif(not has_bfloat16(), reason="needs a processor that computes in bfloat16")


@pytest.fixture
def batch(models, digits):
    """Return the validation images as the model takes them."""
    predictor = Predictor(models / "inference", "paddle")
    return np.stack([predictor.prepare(path) for path in sorted((digits / "val").iterdir())])


@pytest.fixture
def alone(models, tmp_path):
    """Return an ONNX file without a folder of its export."""
    return shutil.copy(models / "inference" / "inference.onnx", tmp_path / "alone.onnx")


def with_comparison(models, folder, difference):
    """Return a copy of the export in which bfloat16 was found to differ by so much."""
    found = {"max_difference": difference, "logit_error": difference}

    def change(values):
        values["Comparison"]["models"]["inference.onnx"]["openvino"] = {"float32": found, "bfloat16": found}

    copy = changed(models, folder, change)
    (copy / "inference_measurements.json").unlink(missing_ok=True)  # of another test
    return copy


def test_float32_is_the_default_and_answers_as_onnx_runtime(models, batch):
    predictor = Predictor(models / "inference", "openvino")
    assert (predictor.backend, predictor.device, predictor.precision) == ("openvino", "cpu", "float32")
    assert predictor.backend_label == "openvino on cpu in float32"
    expected = Predictor(models / "inference", "onnx").run(batch)
    np.testing.assert_allclose(predictor.run(batch), expected, atol=1e-5)
    np.testing.assert_allclose(predictor.run(batch[:1]), expected[:1], atol=1e-5)  # another batch size
    np.testing.assert_allclose(predictor.run(batch), expected, atol=1e-5)


def test_answers_are_not_overwritten_by_the_next_batch(models, batch):
    predictor = Predictor(models / "inference", "openvino")
    first = predictor.run(batch[:4])
    kept = first.copy()
    predictor.run(batch[4:8])
    np.testing.assert_array_equal(first, kept)


@needs_bfloat16
def test_bfloat16_is_near_but_not_the_same(models, batch):
    predictor = Predictor(models / "inference", "openvino", precision="bfloat16")
    assert (predictor.precision, predictor.backend_label) == ("bfloat16", "openvino on cpu in bfloat16")
    exact = Predictor(models / "inference", "openvino", precision="float32").run(batch)
    found = differences(predictor.run(batch), exact)
    assert found["max_difference"] > 1e-5
    assert within_tolerance(found, "bfloat16")
    assert Predictor(models / "inference", precision="bfloat16").backend == "openvino"  # the only one that can


def test_bfloat16_needs_a_processor_that_has_it(models, monkeypatch):
    monkeypatch.setattr("ppcls.inference.backends.openvino.has_bfloat16", lambda: False)
    with pytest.raises(MachineError, match="precision bfloat16: this processor does not compute in bfloat16"):
        Predictor(models / "inference", "openvino", precision="bfloat16")
    assert Predictor(models / "inference", "openvino", precision="auto").precision == "float32"


@needs_bfloat16
@pytest.mark.parametrize(
    ("difference", "precision", "said"),
    [
        (0.01, "bfloat16", "bfloat16 changes a probability by up to 0.01, and the logits by 1.0% of their spread"),
        (0.2, "float32", "bfloat16 changes a probability by up to 0.2"),
        (float("nan"), "float32", "bfloat16 gives answers that are not finite"),
        ("much", "float32", "bfloat16 gives answers that are not finite"),
    ],
)
def test_auto_precision_follows_the_comparison_of_the_export(models, tmp_path, difference, precision, said):
    folder = with_comparison(models, tmp_path / "model", difference)
    predictor = Predictor(folder, "openvino", precision="auto")
    assert predictor.precision == precision
    assert predictor.backend_label.startswith(f"openvino on cpu in {precision} ({said}")
    assert predictor.backend_label.endswith(", compared when it was exported)")
    assert not (folder / "inference_measurements.json").exists()


@needs_bfloat16
def test_auto_precision_compares_once_where_the_export_did_not(alone):
    for source in ("measured now, kept in ", "measured before: "):
        predictor = Predictor(alone, "openvino", precision="auto")
        assert predictor.precision == "bfloat16"
        assert source in predictor.backend_label


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"precision": "fp16"}, ConfigError, "precision 'fp16' is not one of auto, float32, bfloat16"),
        (
            {"backend": "onnx", "precision": "bfloat16"},
            MachineError,
            "onnx computes .* in float32; take another precision",
        ),
        ({"backend": "openvino", "device": "gpu"}, MachineError, "^device gpu:0: the backend openvino cannot use it"),
        ({"backend": "openvino", "threads": 0}, ConfigError, "threads: must be"),
    ],
)
def test_what_it_cannot_do_is_refused(models, options, error, message):
    with pytest.raises(error, match=message):
        Predictor(models / "inference", **options)


def test_a_missing_extra_is_named(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MachineError, match=r'needs openvino, which is not installed: pip install "\.\[openvino\]"'):
        Predictor(models / "inference", "openvino")
    with pytest.raises(MachineError, match=r'or the backend openvino, which needs pip install "\.\[openvino\]"'):
        Predictor(models / "inference", "onnx", precision="bfloat16")
    assert Predictor(models / "inference").backend == "onnx"


def test_a_damaged_file_and_one_that_is_no_model_are_refused(models, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(models / "inference", folder)
    file = folder / "inference.onnx"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"inference\.onnx: damaged, or not the file that was exported"):
        Predictor(folder, "openvino")
    values = yaml.safe_load((folder / "inference.yml").read_text())
    file.write_bytes(b"\x08\x07" * 20)
    from ppcls.utils.digests import sha256

    values["Model"]["files"]["inference.onnx"] = sha256(file)
    (folder / "inference.yml").write_text(yaml.safe_dump(values))
    with pytest.raises(DataError, match=r"inference\.onnx: OpenVINO .* cannot run it: "):
        Predictor(folder, "openvino")


def test_a_description_of_another_size_or_class_count_is_refused(models, tmp_path, batch):
    other = changed(models, tmp_path / "size", lambda values: values["Global"].update(image_shape=[3, 20, 20]))
    with pytest.raises(DataError, match=r"takes images of the shape \[3, 16, 16\]"):
        Predictor(other, "openvino")
    with pytest.raises(DataError, match="takes a batch of shape"):
        Predictor(models / "inference", "openvino").run(batch[:, :, :8])


def test_the_export_states_both_comparisons(models):
    values = yaml.safe_load((models / "inference" / "inference.yml").read_text())
    for file in ("inference.onnx", "inference_self_contained.onnx"):
        found = values["Comparison"]["models"][file]["openvino"]
        assert found["float32"]["max_difference"] < 1e-5
        assert list(found) == (["float32", "bfloat16"] if has_bfloat16() else ["float32"])
    if has_bfloat16():
        assert 1e-5 < found["bfloat16"]["max_difference"] < 0.1


def test_commands_take_the_backend_and_the_precision(models, digits, run, expected):
    image = digits / "val" / "000.png"
    done = run("infer", models / "inference", image, "--backend", "openvino")
    assert "by the backend openvino on cpu in float32" in done.stderr
    assert_same_answers(json.loads(done.stdout), [{**expected[0], "file_name": str(image)}])
    recipe = ("eval", "-c", models / "recipe.yaml")
    checkpoint = json.loads(run(*recipe, "-o", f"Global.pretrained_model={models}/out/best_model").stdout)
    evaluated = run(*recipe, "--model", models / "inference", "--backend", "openvino", "--precision", "float32")
    assert "by the backend openvino on cpu in float32" in evaluated.stderr
    assert json.loads(evaluated.stdout)["top1"] == checkpoint["top1"]
    assert "--precision is for exported models" in run(*recipe, "--precision", "float32", code=2).stderr
    onnx_in_bfloat16 = ("--backend", "onnx", "--precision", "bfloat16")
    assert "take another precision" in run("infer", models / "inference", image, *onnx_in_bfloat16, code=2).stderr
    refused = run("infer", models / "out", image, "--precision", "float32", code=2).stderr
    assert "is not an exported model, and runs in float32" in refused
    assert run("serve", models / "inference", "--port", "0", *onnx_in_bfloat16, code=2).stderr.count("precision") >= 1


def test_the_public_functions_take_the_precision(models):
    predictor = ppcls.load_predictor(models / "inference", backend="openvino", precision="float32")
    assert (predictor.backend, predictor.precision) == ("openvino", "float32")


def test_logit_errors_of_equal_answers_are_zero():
    answers = np.array([[0.5, 0.25, 0.25]])
    assert logit_error(answers, answers) == 0
    assert not within_tolerance({"max_difference": float("nan"), "logit_error": 0.0}, "bfloat16")
    assert not within_tolerance({"max_difference": 0.0, "logit_error": 0.31}, "bfloat16")
