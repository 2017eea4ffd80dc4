"""Exports to Paddle and ONNX of every family: equal to the checkpoint, self-contained, smaller, and never wrong."""

import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest
import yaml

import ppcls
from ppcls.errors import ConfigError, DataError, ExportError
from ppcls.exporting.options import Options
from ppcls.inference import description
from ppcls.inference.backends import open_backend
from ppcls.utils import environment
from tests.helpers.exports import FAMILIES, prepared
from tests.helpers.recipes import ROOT

pytest.importorskip("onnxruntime", reason='needs pip install ".[onnx]"')
pytest.importorskip("paddle2onnx", reason='needs pip install ".[onnx]"')


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def exported(request, digits, tmp_path_factory):
    """Return the recipe, folder and report of the export of one family in all formats."""
    folder = tmp_path_factory.mktemp(request.param)
    config = prepared(request.param, digits, folder)
    options = Options(onnx=True, self_contained=True, fp16=True, int8=True, calibration_images=32, max_drop=0.2)
    return config, folder / "model", ppcls.export(config, options)


def test_every_family_answers_as_its_checkpoint_in_every_format(exported):
    config, folder, report = exported
    bounds = {"": 1e-5, "_self_contained": 1e-5, "_fp16": 2e-2, "_fp16_self_contained": 2e-2}
    for suffix, bound in bounds.items():
        assert report["models"][f"inference{suffix}.onnx"]["max_difference"] <= bound, suffix
    assert report["max_difference"] <= 1e-5
    assert report["models"]["inference_fp16.onnx"]["max_difference"] > 1e-6  # it does compute in another precision
    int8 = report["models"]["inference_int8.onnx"]
    assert int8["calibration"] == {"images": 32, "from": "DataLoader.Train"}
    assert int8["top1_images"] == 40
    assert int8["max_difference"] > 1e-4
    assert int8["top1"]["before"] - int8["top1"]["after"] <= 0.2
    # What was measured is what evaluation finds.
    assert ppcls.evaluate_export(config, folder / "inference_int8.onnx")["top1"] == int8["top1"]["after"]
    assert yaml.safe_load((folder / "inference.yml").read_text())["Comparison"]["models"] == report["models"]


def test_every_format_evaluates_as_the_checkpoint(exported):
    config, folder, _ = exported
    expected = ppcls.evaluate(config)
    for path, backend in (
        (folder, "paddle"),
        (folder, "onnx"),
        (folder / "inference.onnx", "auto"),
        (folder / "inference_self_contained.onnx", "auto"),
    ):
        measured = ppcls.evaluate_export(config, path, backend)
        assert measured.keys() == expected.keys()
        for name in ("top1", "top5"):
            assert measured[name] == expected[name], (path, backend)
        assert measured["CELoss"] == pytest.approx(expected["CELoss"], rel=1e-4)


def test_the_int8_model_is_quantized_and_the_graph_is_lean(exported):
    import onnx

    _, folder, report = exported
    plain, int8 = (onnx.load(str(folder / f"inference{suffix}.onnx")) for suffix in ("", "_int8"))
    products = sum(node.op_type in ("Conv", "MatMul", "Gemm") for node in plain.graph.node)
    assert sum(node.op_type == "DequantizeLinear" for node in int8.graph.node) > products
    for graph in (plain.graph, int8.graph):
        taken = {name for node in graph.node for name in node.input} | {"probabilities"}
        assert {name for node in graph.node for name in node.output} <= taken
        assert {constant.name for constant in graph.initializer} <= taken
    assert {entry.domain for entry in plain.opset_import} == {""}
    norms = sum(node.op_type == "BatchNormalization" for node in plain.graph.node)
    assert norms == report["batch_norms"]["kept"]
    assert (report["batch_norms"]["folded"] > 0) == (report["models"] and "ConvMLP" in str(folder))


def test_the_self_contained_model_needs_nothing_but_pixels(exported, digits):
    import onnxruntime

    _, folder, _ = exported
    session = onnxruntime.InferenceSession(str(folder / "inference_self_contained.onnx"))
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape) == ("pixels", "tensor(uint8)", ["batch", 16, 16, 3])
    image = cv2.cvtColor(cv2.imread(str(digits / "val" / "004.png")), cv2.COLOR_BGR2RGB)
    (answers,) = session.run(["probabilities"], {"pixels": np.stack([image] * 3)})
    values = json.loads(session.get_modelmeta().custom_metadata_map["ppcls"])
    names = values["PostProcess"]["Topk"]["label_list"]
    (expected,) = ppcls.Predictor(folder).predict(image)
    assert names[int(answers[0].argmax())] == expected["label_names"][0]
    np.testing.assert_allclose(np.sort(answers[2])[::-1][:5], expected["scores"], atol=2e-5)
    (own,) = ppcls.Predictor(folder / "inference_self_contained.onnx").predict(image)
    assert own["class_ids"] == expected["class_ids"]


WITHOUT_PADDLE = """
import json, sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("paddle", "onnx", "paddle2onnx"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import ppcls
answers = [ppcls.Predictor(path).predict(sys.argv[1]) for path in sys.argv[2:]]
assert not {"paddle", "onnx"} & {name.split(".")[0] for name in sys.modules}
print(json.dumps(answers))
"""


def test_onnx_models_run_where_paddle_is_not_installed(convmlp, digits, tmp_path):
    _, folder = convmlp
    lone = tmp_path / "lone.onnx"  # without inference.yml beside it, under another name
    shutil.copy(folder / "inference_self_contained.onnx", lone)
    paths = [folder, folder / "inference.onnx", lone]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PADDLE, str(digits / "val"), *map(str, paths)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = ppcls.Predictor(folder).predict(digits / "val")  # by Paddle
    for answers in json.loads(done.stdout):
        assert len(answers) == 40
        assert [a["class_ids"][0] for a in answers] == [a["class_ids"][0] for a in expected]
        assert [a["label_names"] for a in answers] == [[f"digit-{i}" for i in a["class_ids"]] for a in answers]


def test_another_image_size_resizes_crop_resize_and_weights(digits, tmp_path, caplog):
    config = prepared("gMLP", digits, tmp_path)
    ops = [
        {"DecodeImage": {}},
        {"ResizeImage": {"resize_short": 20}},
        {"CropImage": {"size": 16}},
        *config.DataLoader.Eval.dataset.transform_ops[-2:],
    ]
    dataset = config.DataLoader.Eval.dataset.model_copy(update={"transform_ops": ops})
    split = config.DataLoader.Eval.model_copy(update={"dataset": dataset})
    config = config.model_copy(update={"DataLoader": config.DataLoader.model_copy(update={"Eval": split})})
    with caplog.at_level("INFO", logger="ppcls"):
        report = ppcls.export(config, Options(onnx=True, image_size=(24, 32)))
    assert report["models"]["inference.onnx"]["max_difference"] < 1e-5
    values = yaml.safe_load((tmp_path / "model" / "inference.yml").read_text())
    assert values["Global"]["image_shape"] == [3, 24, 32]
    assert values["Model"]["image_shape_of_recipe"] == [3, 16, 16]
    assert values["Model"]["architecture"]["image_size"] == [24, 32]
    assert values["PreProcess"]["transform_ops"][1:3] == [
        {"ResizeImage": {"resize_short": 40}},
        {"CropImage": {"size": [32, 24]}},
    ]
    if "images of" in caplog.text:  # the package's logger may not propagate
        assert "24 x 32 px instead of the recipe's 16 x 16" in caplog.text
    # The same weights in the model of that size answer the same.
    model = ppcls.create_model("gMLP", class_num=10, **{**FAMILIES["gMLP"], "image_size": [24, 32]})
    ppcls.load_weights(model, tmp_path / "weights.pdparams")
    model.eval()
    import paddle

    batch = np.random.default_rng(0).standard_normal((2, 3, 24, 32)).astype("float32")
    expected = paddle.nn.functional.softmax(model(paddle.to_tensor(batch))).numpy()
    answers = open_backend(description.read(tmp_path / "model"), "onnx").run(batch)
    np.testing.assert_allclose(answers, expected, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 21])
def test_opsets_from_the_first_to_the_last(digits, tmp_path, opset):
    report = ppcls.export(prepared("CycleMLP", digits, tmp_path), Options(onnx=True, opset=opset))
    assert report["models"]["inference.onnx"]["max_difference"] < 1e-5
    import onnx

    assert onnx.load(str(tmp_path / "model" / "inference.onnx")).opset_import[0].version == opset


def test_bfloat16_in_paddle_inference(digits, tmp_path):
    if not environment.has_bfloat16():
        with pytest.raises(ConfigError, match="does not compute in bfloat16"):
            Options(bf16=True)
        return
    report = ppcls.export(prepared("ConvMLP", digits, tmp_path), Options(bf16=True))
    assert 1e-5 < report["max_difference"] < 0.1
    assert description.read(tmp_path / "model").precision == "bfloat16"


def test_normalization_moves_into_the_model_only_from_the_end_of_the_transforms(digits, tmp_path):
    config = prepared("ConvMixer", digits, tmp_path)

    def export(*ops):
        infer = config.Infer.model_copy(update={"transforms": [{"DecodeImage": None}, *ops]})
        return ppcls.export(config.model_copy(update={"Infer": infer}), Options(self_contained=True))

    report = export({"ToCHWImage": None}, {"NormalizeImage": {"order": "chw"}})  # the other order is as good
    assert report["models"]["inference_self_contained.onnx"]["max_difference"] < 1e-5
    config = config.model_copy(update={"DataLoader": config.DataLoader.model_copy(update={"Eval": None})})
    with pytest.raises(ExportError, match="end with NormalizeImage and ToCHWImage, not with CropImage and ToCHWImage"):
        export({"NormalizeImage": {"order": ""}}, {"CropImage": {"size": 16}}, {"ToCHWImage": None})
    infer = config.Infer.model_copy(update={"transforms": [{"DecodeImage": None}, {"ToCHWImage": None}]})
    with pytest.raises(ConfigError, match=r"int8 needs DataLoader\.Eval"):
        ppcls.export(config.model_copy(update={"Infer": infer}), Options(int8=True))


def test_onnx_without_metadata_is_described_by_the_file_beside_it(copy_of_convmlp):
    import hashlib

    import onnx

    path = copy_of_convmlp / "inference.onnx"
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(path))
    with pytest.raises(DataError, match="damaged, or not the file that was exported"):
        ppcls.Predictor(path)
    values = yaml.safe_load((copy_of_convmlp / "inference.yml").read_text())
    values["Model"]["files"]["inference.onnx"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copy_of_convmlp / "inference.yml").write_text(yaml.safe_dump(values))
    predictor = ppcls.Predictor(path)
    assert predictor.run(np.zeros((2, 3, 16, 16), np.float32)).shape == (2, 10)


def test_backends_that_are_not_there(convmlp, copy_of_convmlp, tmp_path, digits):
    _, folder = convmlp
    described = description.read(folder)
    with pytest.raises(DataError, match="not one of auto, paddle, onnx, openvino"):
        open_backend(described, "tensorrt")
    with pytest.raises(DataError, match="no model for the backend paddle, only for onnx"):
        open_backend(description.read(folder / "inference.onnx"), "paddle")
    code = f"""{WITHOUT_PADDLE.split("answers")[0]}
from pathlib import Path
from ppcls.inference import backends, description
backends.open_backend(description.read(Path(sys.argv[1])), "paddle")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert "MachineError: the backend paddle needs paddle, which is not installed" in done.stderr


def test_openvino_runs_half_precision_and_refuses_int8(exported):
    pytest.importorskip("openvino", reason='needs pip install ".[openvino]"')
    _, folder, report = exported
    for suffix in ("_int8", "_int8_self_contained"):
        file = folder / f"inference{suffix}.onnx"
        with pytest.raises(DataError, match=r"the backend openvino does not run int8 models, .*; take onnx"):
            open_backend(description.read(file), "openvino")
        assert open_backend(description.read(file)).name == "onnx"
        assert "openvino" not in report["models"][file.name]
    half = description.read(folder / "inference_fp16.onnx")
    assert open_backend(half, "openvino").precision == "float32"
    assert open_backend(half).name == "onnx"  # not by speed: the answers are others
    assert report["models"]["inference_fp16.onnx"]["openvino"]["float32"]["max_difference"] < 0.02


def test_a_loss_that_probabilities_do_not_determine_is_refused(convmlp):
    config, folder = convmlp

    def with_loss(loss):
        return config.model_copy(update={"Loss": config.Loss.model_copy(update={"Eval": [loss]})})

    with pytest.raises(ConfigError, match=r"Loss\.Eval: BCELoss depends on logits"):
        ppcls.evaluate_export(with_loss({"BCELoss": None}), folder)
    smoothed = with_loss({"CELoss": {"epsilon": 0.1}})
    expected, measured = ppcls.evaluate(smoothed)["loss"], ppcls.evaluate_export(smoothed, folder)["loss"]
    assert measured == pytest.approx(expected, rel=1e-4)


def test_missing_class_names_are_said_and_can_be_added(digits, tmp_path, run):
    prepared("ConvMixer", digits, tmp_path)
    arguments = ("export", "-c", tmp_path / "recipe.yaml", "-o")
    key = "Infer.PostProcess.class_id_map_file"
    assert "no class names, neither with the weights nor in the recipe" in run(*arguments, f"{key}=null").stderr
    assert ppcls.Predictor(tmp_path / "model").predict(digits / "val" / "000.png")[0]["label_names"] == []
    assert "no class names" not in run(*arguments, f"{key}={digits}/labels.txt").stderr
    assert ppcls.Predictor(tmp_path / "model").predict(digits / "val" / "000.png")[0]["label_names"]


@pytest.mark.parametrize("change", ["Global.pretrained_model=weights", "Global.checkpoints=x", "Arch.pretrained=True"])
def test_weights_beside_an_export_are_not_ignored(convmlp, run, change):
    done = run("eval", "-c", convmlp[1].parent / "recipe.yaml", "--model", convmlp[1], "-o", change, code=2)
    assert f"-o {change}: with --model" in done.stderr
    assert "leave one of the two out" in done.stderr
    none = f"{change.partition('=')[0]}={'False' if change.endswith('True') else 'null'}"
    run("eval", "-c", convmlp[1].parent / "recipe.yaml", "--model", convmlp[1], "-o", none)


def test_evaluation_of_an_export_by_another_recipe(convmlp, digits, tmp_path, run):
    config, folder = convmlp
    recipe = folder.parent / "recipe.yaml"
    done = run("eval", "-c", recipe, "--model", folder, "-o", "Arch.class_num=12", code=2)
    assert "has 10 classes, the recipe 12" in done.stderr
    key = "DataLoader.Eval.dataset.transform_ops"
    normalize = {"NormalizeImage": {"order": ""}}
    change = f"{key}=[{{DecodeImage: }}, {json.dumps(normalize)}, {{ToCHWImage: }}]"
    done = run("eval", "-c", recipe, "--model", folder / "inference.onnx", "-o", change, code=2)
    assert "prepares images in another way than the recipe: normalization" in done.stderr
    ops = [*config.DataLoader.Eval.dataset.transform_ops]
    change = f"{key}={json.dumps([ops[0], {'CropImage': {'size': 16}}, *ops[1:]])}"
    done = run("eval", "-c", recipe, "--model", folder / "inference.onnx", "-o", change)
    assert "the transforms of the recipe are others than those of the export" in done.stderr
    assert "[Eval][Avg]CELoss: " in done.stderr
    assert json.loads(done.stdout) == ppcls.evaluate_export(config, folder, "onnx")
    assert "no such folder" in run("eval", "-c", recipe, "--model", tmp_path / "nowhere", code=2).stderr
    assert "--backend is for exported models" in run("eval", "-c", recipe, "--backend", "onnx", code=2).stderr
