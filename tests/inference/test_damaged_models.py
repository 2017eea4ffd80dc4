"""Exported models that are damaged, or described wrongly."""

import hashlib
import shutil

import numpy as np
import pytest

from ppcls import Predictor
from ppcls.errors import DataError, WeightsError
from ppcls.inference.inputs import collect
from tests.helpers.exports import changed


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("Global", "image_shape", [3, 32.7, 32], "image_shape: channels, height and width expected, not"),
        ("Global", "image_shape", [3, -1, 32], "image_shape: channels, height and width expected, not"),
        ("Global", "image_shape", [3], "image_shape: channels, height and width expected, not"),
        ("Global", "image_shape", "332", "image_shape: channels, height and width expected, not"),
        ("Model", "precision", "float99", "precision: 'float99' is not one of 'float32', 'float16'"),
        ("Model", "precision", None, "precision: None is not one of"),
        ("Model", "output", "logits", "output: 'logits' is not one of 'probabilities'"),
        ("PostProcess", "Topk", {"topk": 1, "label_list": [None] * 10}, "label_list: a list of names expected"),
        ("PostProcess", "Topk", {"topk": 1, "label_list": [True, False] * 5}, "label_list: a list of names expected"),
        ("PostProcess", "Topk", {"topk": 1, "label_list": [["a"]] * 10}, "label_list: a list of names expected"),
        ("PreProcess", "transform_ops", [{"Nope": {}}], "PreProcess.transform_ops: .*Nope.*; export the model again"),
        ("Global", "image_shape", [3, 64, 64], r"inference.onnx: takes images of the shape \[3, 16, 16\]"),
    ],
)
def test_a_description_that_is_damaged_is_refused_when_it_is_opened(models, tmp_path, section, key, value, message):
    folder = changed(models, tmp_path / "model", lambda values: values[section].update({key: value}))
    with pytest.raises(DataError, match=message) as refused:
        Predictor(folder, "onnx")
    assert str(folder) in str(refused.value)


@pytest.mark.parametrize("part", ["half", "noise", "nothing"])
@pytest.mark.parametrize("name", ["inference.json", "inference.pdiparams", "inference.onnx"])
def test_a_file_that_no_runtime_can_read_is_an_error_of_the_model(models, tmp_path, name, part):
    if not (models / "inference" / name).is_file():
        pytest.skip("the models are of PaddlePaddle 2")
    content = (models / "inference" / name).read_bytes()
    noise = b"{}" if name.endswith(".json") else np.random.default_rng(0).bytes(len(content))
    content = {"half": content[: len(content) // 2], "noise": noise, "nothing": b""}[part]
    digest = hashlib.sha256(content).hexdigest()
    folder = changed(models, tmp_path / "model", lambda values: values["Model"]["files"].update({name: digest}))
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match="cannot run it"):
        Predictor(folder, "onnx" if name.endswith(".onnx") else "paddle")


def test_without_class_names_there_are_ids_only(models, digits, tmp_path):
    folder = changed(models, tmp_path / "model", lambda values: values["PostProcess"]["Topk"].pop("label_list"))
    (answer,), (named,) = (
        Predictor(path, "onnx").predict(digits / "val" / "000.png") for path in (folder, models / "inference")
    )
    assert answer == {**named, "label_names": []}
    assert named["label_names"]


@pytest.mark.parametrize("backend", ["paddle", "onnx"])
def test_a_number_of_classes_that_the_model_does_not_have_is_refused(models, digits, tmp_path, backend):
    def more(values):
        values["PostProcess"]["Topk"].pop("label_list")
        values["Model"].pop("classes")
        values["Model"]["architecture"]["class_num"] = 11

    predictor = Predictor(changed(models, tmp_path / "model", more), backend)
    with pytest.raises(DataError, match=r"answers \[1, 10\], and its description has 11 classes"):
        predictor.predict(digits / "val" / "000.png")


def test_probabilities_that_are_not_finite_are_no_answer(models, digits):
    from dataclasses import replace

    pipeline = Predictor(models / "inference", "onnx").pipeline
    damaged = replace(pipeline, run=lambda batch: pipeline.run(batch) * np.nan)
    with pytest.raises(WeightsError, match="not finite"):
        list(damaged.answers(collect(digits / "val")))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("Model", "files", []),
        ("Model", "files", {}),
        ("PreProcess", "transform_ops", None),
        ("PostProcess", "Topk", {"topk": "x"}),
        ("PostProcess", "Topk", {"topk": 3, "label_list": ["only one"]}),
        ("PostProcess", "Topk", {"topk": 3, "label_list": "0123456789"}),
        ("PostProcess", "Topk", {"topk": 0}),
        ("PostProcess", "Topk", {"topk": -1}),
        ("PostProcess", "Topk", {"topk": 2.5}),
        ("PostProcess", "Topk", {"topc": 3}),
        ("PostProcess", "ThreshOutput", {"threshold": 0.5}),  # beside the other
        ("PreProcess", "transform_ops", []),
        ("Global", "image_shape", 3),
    ],
)
def test_a_damaged_description_is_refused_by_every_runtime(models, tmp_path, section, key, value):
    folder = changed(models, tmp_path / "model", lambda values: values[section].update({key: value}))
    with pytest.raises(DataError, match=r"inference\.yml: damaged"):
        Predictor(folder, "paddle")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"Topc": {"topk": 1}}, r"inference\.yml: PostProcess: unknown post-processing 'Topc'; did you mean 'Topk'"),
        ({"ThreshOutput": {"threshold": 0.5}}, r"inference\.yml: damaged .*ThreshOutput: is for 2 classes"),
        ({"MultiLabelThreshOutput": {"threshold": [0.5]}}, r"inference\.yml: damaged .*1 numbers for 10 classes"),
        ({}, r"inference\.yml: damaged"),
    ],
)
def test_a_post_processing_that_does_not_fit_is_refused(models, tmp_path, section, message):
    folder = changed(models, tmp_path / "model", lambda values: values.update(PostProcess=section))
    with pytest.raises(DataError, match=message):
        Predictor(folder, "paddle")


@pytest.mark.parametrize("name", ["inference.pdiparams", "inference.json"])
def test_a_damaged_or_missing_model_file_is_refused(models, tmp_path, name):
    folder = tmp_path / "model"
    shutil.copytree(models / "inference", folder)
    if not (folder / name).exists():
        pytest.skip("Paddle 2 calls it otherwise")
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-9])
    with pytest.raises(DataError, match="damaged"):
        Predictor(folder, "paddle")
    (folder / name).unlink()
    with pytest.raises(DataError, match="missing"):
        Predictor(folder, "paddle")
    with pytest.raises(DataError, match="no such folder"):
        Predictor(tmp_path / "nowhere")
