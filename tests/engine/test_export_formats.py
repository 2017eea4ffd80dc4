"""Exports to Paddle and ONNX of every family: equal to the checkpoint, self-contained, smaller, and never wrong."""

import json
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
import yaml

import ppcls
from ppcls.deploy import description
from ppcls.deploy.backends import open_backend
from ppcls.engine.exporting.options import Options
from ppcls.errors import ConfigError, DataError, ExportError, MachineError
from ppcls.utils import environment
from tests.conftest import ROOT, write_recipe
from tests.engine.test_training import limit_file_size

pytest.importorskip("onnxruntime", reason='needs pip install "ppcls[onnx]"')
pytest.importorskip("paddle2onnx", reason='needs pip install "ppcls[onnx]"')

FAMILIES = {
    "ConvMLP": {"blocks": [1, 1], "dims": [16, 24], "mlp_ratios": [2, 2], "channels": 8, "conv_blocks": 1},
    "ConvMixer": {"dim": 16, "depth": 2, "kernel_size": 3, "patch_size": 4},
    "gMLP": {"dim": 16, "depth": 2, "mlp_ratio": 4, "patch_size": 4, "image_size": 16},
    "CycleMLP": {"layers": [1, 1], "embed_dims": [16, 24], "mlp_ratios": [2, 2]},
}


def randomized(model, images):
    """Give a model batch-norm statistics as after training, and answers that differ from image to image."""
    import paddle

    rng = np.random.default_rng(0)
    for layer in model.sublayers():
        if isinstance(layer, paddle.nn.BatchNorm2D):
            for tensor in (layer.weight, layer.bias):
                tensor.set_value(rng.uniform(0.2, 1.5, tensor.shape).astype("float32"))
    with paddle.no_grad():
        for _ in range(30):
            model(paddle.to_tensor(images))
    model.eval()
    model.head.weight.set_value(rng.normal(size=model.head.weight.shape).astype("float32"))
    logits = model(paddle.to_tensor(images)).numpy()
    scale = 2 / logits.std(axis=0).mean()
    model.head.weight.set_value(model.head.weight.numpy() * scale)
    model.head.bias.set_value((model.head.bias.numpy() - logits.mean(axis=0)) * scale)
    return model


def prepared(family, digits, folder, **changes):
    """Return the recipe of a family, with weights for it, that exports to ``folder / "model"``."""
    import paddle

    path = write_recipe(digits, folder)
    values = yaml.safe_load(path.read_text())
    values["Arch"] = {"name": family, "class_num": 10, **FAMILIES[family]}
    values["Global"].update(pretrained_model=f"{folder}/weights", save_inference_dir=f"{folder}/model")
    values["Infer"] = {"PostProcess": {"class_id_map_file": f"{digits}/labels.txt"}}
    path.write_text(yaml.safe_dump(values))
    paddle.seed(1)
    pictures = np.stack([cv2.imread(str(path)) for path in sorted((digits / "val").iterdir())])
    images = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2), dtype=np.float32) / 127.5 - 1
    model = randomized(ppcls.create_model(family, class_num=10, **FAMILIES[family]), images)
    paddle.save(model.state_dict(), f"{folder}/weights.pdparams")
    return ppcls.load_config(path, [f"{key}={value}" for key, value in changes.items()])


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def exported(request, digits, tmp_path_factory):
    """Return the recipe, folder and report of the export of one family in all formats."""
    folder = tmp_path_factory.mktemp(request.param)
    config = prepared(request.param, digits, folder)
    options = Options(onnx=True, self_contained=True, fp16=True, int8=True, calibration_images=32, max_drop=0.2)
    return config, folder / "model", ppcls.export(config, options)


@pytest.fixture(scope="module")
def convmlp(digits, tmp_path_factory):
    """Return the recipe and folder of an export of ConvMLP, with a self-contained model."""
    folder = tmp_path_factory.mktemp("convmlp")
    config = prepared("ConvMLP", digits, folder)
    ppcls.export(config, Options(self_contained=True))
    return config, folder / "model"


@pytest.fixture
def copied(convmlp, tmp_path):
    shutil.copytree(convmlp[1], tmp_path / "model")
    return tmp_path / "model"


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
        ExportError, match=r"top1 1\.0000 -> 0\.\d+ on 40 images: sinks by more than --max-drop 0\.05\."
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
    with pytest.raises(ExportError, match=r"inference_fp16\.onnx\) differs from the trained one by"):
        ppcls.export(config, Options(fp16=True))  # 1e7 is more than float16 holds
    assert not (tmp_path / "model").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("opset", [13, 21])
def test_opsets_from_the_first_to_the_last(digits, tmp_path, opset):
    report = ppcls.export(prepared("CycleMLP", digits, tmp_path), Options(onnx=True, opset=opset))
    assert report["models"]["inference.onnx"]["max_difference"] < 1e-5
    import onnx

    assert onnx.load(str(tmp_path / "model" / "inference.onnx")).opset_import[0].version == opset


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


def test_damaged_and_strange_onnx_files_are_refused(copied, tmp_path):
    import onnx

    path = copied / "inference_self_contained.onnx"
    whole = path.read_bytes()
    middle = len(whole) // 2
    for damaged, message in (
        (whole[:-9], "bytes are missing|no ONNX model"),
        (whole[:middle], "bytes are missing"),
        (whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :], "damaged, or changed"),
        (b"", "it has no graph"),
        (b"<html>not found</html>", "no ONNX model"),
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

    from ppcls.engine.exporting.onnx import write

    values = description.read(convmlp[1] / "inference.onnx").values
    advice = r"future\.onnx: too new for this ONNX Runtime; install a newer one, or export with a lower --opset\. "
    for change in (lambda model: setattr(model.opset_import[0], "version", 99), lambda m: setattr(m, "ir_version", 99)):
        model = onnx.load(str(convmlp[1] / "inference.onnx"))
        change(model)
        write(model, tmp_path / "future.onnx", values)
        with pytest.raises(DataError, match=advice + r"ONNX Runtime [\d.]+ cannot run it: .*99") as refused:
            ppcls.Predictor(tmp_path / "future.onnx")
        assert "::" not in str(refused.value)  # no names of C++


def test_onnx_without_metadata_is_described_by_the_file_beside_it(copied):
    import hashlib

    import onnx

    path = copied / "inference.onnx"
    model = onnx.load(str(path))
    del model.metadata_props[:]
    onnx.save(model, str(path))
    with pytest.raises(DataError, match="damaged, or not the file that was exported"):
        ppcls.Predictor(path)
    values = yaml.safe_load((copied / "inference.yml").read_text())
    values["Model"]["files"]["inference.onnx"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (copied / "inference.yml").write_text(yaml.safe_dump(values))
    predictor = ppcls.Predictor(path)
    assert predictor.run(np.zeros((2, 3, 16, 16), np.float32)).shape == (2, 10)


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


def test_backends_that_are_not_there(convmlp, copied, tmp_path, digits):
    _, folder = convmlp
    described = description.read(folder)
    with pytest.raises(DataError, match="not one of auto, paddle, onnx"):
        open_backend(described, "tensorrt")
    with pytest.raises(DataError, match="no model for the backend paddle, only for onnx"):
        open_backend(description.read(folder / "inference.onnx"), "paddle")
    code = f"""{WITHOUT_PADDLE.split("answers")[0]}
from pathlib import Path
from ppcls.deploy import backends, description
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


def test_a_full_disk_leaves_nothing(digits, tmp_path, run):
    prepared("ConvMLP", digits, tmp_path)
    command = ("export", "-c", tmp_path / "recipe.yaml", "--onnx", "-o", "Global.pretrained_model=weights")
    before = sorted(path.name for path in tmp_path.iterdir())
    run(*command)
    model = tmp_path / "model"
    sizes = sorted(path.stat().st_size for path in model.iterdir() if path.suffix != ".yml")
    shutil.rmtree(model)
    for size in sizes:  # one file after the other does not fit
        done = run(*command, code=2, preexec=limit_file_size(size - 1))
        assert "nothing was exported" in done.stderr
        assert "Traceback" not in done.stderr
        assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_an_export_that_is_ended_leaves_nothing(digits, tmp_path):
    prepared("ConvMLP", digits, tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())
    command = [sys.executable, "-m", "ppcls", "export", "-c", "recipe.yaml", "--self-contained", "-o"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, "Global.pretrained_model=weights"], cwd=tmp_path, env=environment)
    while not any(path.name.startswith(".model.") for path in tmp_path.iterdir()):
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
    done = run(*arguments, code=2, environment={"PYTHONPATH": f"{tmp_path}/without:{ROOT}"})
    assert 'pip install "ppcls[onnx]"' in done.stderr
    assert MachineError.exit_code == 2


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


def test_a_broken_image_to_calibrate_on_is_named(digits, tmp_path):
    config = prepared("ConvMixer", digits, tmp_path)
    images = tmp_path / "images"
    images.mkdir()
    (images / "page.png").write_bytes(b"<html>")
    with pytest.raises(DataError, match=r"page\.png: .*; repair or remove it, or calibrate on others: --calibration"):
        ppcls.export(config, Options(int8=True, calibration=str(images)))
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("change", ["Global.pretrained_model=weights", "Global.checkpoints=x", "Arch.pretrained=True"])
def test_weights_beside_an_export_are_not_ignored(convmlp, run, change):
    done = run("eval", "-c", convmlp[1].parent / "recipe.yaml", "--model", convmlp[1], "-o", change, code=2)
    assert f"-o {change}: with --model" in done.stderr
    assert "leave one of the two out" in done.stderr
    none = f"{change.partition('=')[0]}={'False' if change.endswith('True') else 'null'}"
    run("eval", "-c", convmlp[1].parent / "recipe.yaml", "--model", convmlp[1], "-o", none)


def test_what_interrupts_an_export_at_its_end_leaves_the_earlier_one(tmp_path):
    from ppcls.engine.exporting import places

    for name in ("new", "model"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    with pytest.raises(FileNotFoundError):  # as a signal between the two renames
        places.replace(tmp_path / "gone", tmp_path / "model", "weights")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model"]
    places.replace(tmp_path / "new", tmp_path / "model", "weights")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]


def test_evaluation_of_an_export_by_another_recipe(convmlp, digits, tmp_path, run):
    config, folder = convmlp
    recipe = folder.parent / "recipe.yaml"
    done = run("eval", "-c", recipe, "--model", folder, "-o", "Arch.class_num=12", code=2)
    assert "has 10 classes, the recipe 12" in done.stderr
    normalize = {"NormalizeImage": {"order": ""}}
    change = f"DataLoader.Eval.dataset.transform_ops=[{{DecodeImage: }}, {json.dumps(normalize)}, {{ToCHWImage: }}]"
    done = run("eval", "-c", recipe, "--model", folder / "inference.onnx", "-o", change)
    assert "preprocesses images otherwise" in done.stderr
    assert json.loads(done.stdout) == ppcls.evaluate_export(config, folder, "onnx")
    assert "no such folder" in run("eval", "-c", recipe, "--model", tmp_path / "nowhere", code=2).stderr
    assert "--backend is for exported models" in run("eval", "-c", recipe, "--backend", "onnx", code=2).stderr
