"""Grayscale and RGBA models, from training to answers."""

import importlib.util
import json

import cv2
import numpy as np
import pytest

import ppcls
from ppcls.errors import ConfigError
from tests.helpers.command_line import run_ppcls

_TRANSFORMS = [{"DecodeImage": {}}, {"ResizeImage": {"size": 16}}, {"NormalizeImage": {"order": ""}}]


@pytest.fixture(scope="module", params=[1, 4], ids=["grayscale", "RGBA"])
def trained(request, tmp_path_factory):
    """Return (recipe, folder of images, number of channels) of a trained model; only the last channel tells classes."""
    folder = tmp_path_factory.mktemp("channels")
    rng = np.random.default_rng(0)
    for number, name in enumerate(("dark", "light")):
        (folder / "images" / name).mkdir(parents=True)
        for index in range(6):
            pixels = rng.integers(0, 256, (16, 16, request.param), np.uint8)
            pixels[:, :, -1] = 60 + 120 * number
            cv2.imwrite(str(folder / "images" / name / f"{index}.png"), pixels)
    recipe = {
        "Global": {
            "epochs": 12,
            "output_dir": str(folder / "out"),
            "image_shape": [request.param, 16, 16],
            "device": "cpu",
        },
        "Arch": {"name": "ConvMixer", "class_num": 2, "dim": 8, "depth": 1, "kernel_size": 3, "patch_size": 4},
        "Loss": {"Train": [{"CELoss": {}}], "Eval": [{"CELoss": {}}]},
        "Optimizer": {"name": "AdamW", "lr": {"name": "Constant", "learning_rate": 0.02}},
        "Metric": {"Eval": [{"TopkAcc": {"topk": [1]}}]},
        "DataLoader": {
            side: {
                "dataset": {"name": "ImageFolder", "image_root": str(folder / "images"), "transform_ops": _TRANSFORMS},
                "sampler": {"batch_size": 4, "shuffle": side == "Train"},
            }
            for side in ("Train", "Eval")
        },
        "Infer": {"infer_imgs": str(folder / "images")},
    }
    recipe["Arch"]["in_channels"] = request.param
    ppcls.train(ppcls.load_config(recipe))
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    return folder / "recipe.yaml", folder / "images", request.param


@pytest.fixture(scope="module")
def exported(trained):
    """Return the folder of the model's export, with ONNX files where their converter is installed."""
    recipe, *_ = trained
    weights, target = f"Global.pretrained_model={recipe.parent}/out/best_model", recipe.parent / "export"
    formats = ("--onnx", "--self-contained") if importlib.util.find_spec("paddle2onnx") else ()
    changes = ("-o", weights, f"Global.save_inference_dir={target}")
    run_ppcls("export", "-c", recipe, *formats, *changes, cwd=recipe.parent)
    return target


def test_every_command_sees_the_channels(trained, exported, run, tmp_path):
    recipe, images, channels = trained
    out = recipe.parent / "out"
    assert json.loads(run("eval", "-c", recipe, "-o", f"Global.pretrained_model={out}/best_model").stdout)["top1"] == 1
    measured = run("eval", "-c", recipe, "--model", exported).stdout
    assert json.loads(measured)["top1"] == 1
    for model in (out, exported):
        answers = json.loads(run("infer", model, images).stdout)
        assert len(answers) == 12
        assert all(answer["label_names"][0] in answer["file_name"] for answer in answers)
    run("show-data", "-c", recipe, "-n", "4", "--out", tmp_path / "sheet.png")
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    predictor = ppcls.Predictor(exported)
    path = images / "light" / "0.png"
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    array = pixels[:, :, [2, 1, 0, 3]] if channels == 4 else pixels
    prepared = predictor.prepare(path)
    assert prepared.shape == (channels, 16, 16)
    np.testing.assert_array_equal(predictor.prepare(array), prepared)
    np.testing.assert_array_equal(predictor.prepare(path.read_bytes()), prepared)


def test_weights_of_other_channels_are_for_training_alone(trained, run, tmp_path):
    recipe, _, channels = trained
    given = ["Arch.in_channels=3", "Global.image_shape=[3,16,16]", f"Global.output_dir={tmp_path}/out"]
    given += [f"Global.pretrained_model={recipe.parent}/out/best_model", f"Global.save_inference_dir={tmp_path}/export"]
    for command in ("eval", "infer", "export"):
        done = run(command, "-c", recipe, "-o", *given, code=2)
        assert (
            f"made for images of {channels} channels, and Arch.in_channels is 3. Set Arch.in_channels: " in done.stderr
        )
        assert not done.stdout
    done = run("train", "-c", recipe, "-o", *given, "Global.epochs=1")
    assert f", adapted from {channels} to 3 channels" in done.stderr
    assert "resized" not in done.stderr


def test_onnx_has_the_channels(trained, exported, run):
    pytest.importorskip("paddle2onnx")
    recipe, *_ = trained
    for model in ("inference.onnx", "inference_self_contained.onnx"):
        assert json.loads(run("eval", "-c", recipe, "--model", exported / model).stdout)["top1"] == 1


def load(channels, operations, **changes):
    split = {"dataset": {"name": "ImageFolder", "image_root": "."}, "sampler": {"batch_size": 1}}
    split["dataset"]["transform_ops"] = operations
    recipe = {
        "Arch": {"name": "ConvMixer", "dim": 8, "depth": 1, "in_channels": channels},
        "DataLoader": {"Train": split},
        "Loss": {"Train": [{"CELoss": {}}]},
        **changes,
    }
    return ppcls.load_config(recipe)


def test_what_follows_is_in_the_recipe():
    loaded = load(1, _TRANSFORMS)
    decode, _, normalize = loaded.DataLoader.Train.dataset.transform_ops[:3]
    assert decode == {"DecodeImage": {"channels": 1}}
    assert normalize == {"NormalizeImage": {"order": "", "mean": [0.449], "std": [0.226]}}
    assert loaded.Global.image_shape[0] == 1
    assert "derived from Arch.in_channels" in loaded.where("Global", "image_shape", 0)
    zeros = [{"DecodeImage": {}}, {"NormalizeImage": {"order": "", "channel_num": 4}}]
    loaded = load(4, zeros)
    assert loaded.DataLoader.Train.dataset.transform_ops[:2] == [{"DecodeImage": None}, zeros[1]]


@pytest.mark.parametrize(
    ("channels", "operations", "message"),
    [
        (2, _TRANSFORMS, r"Arch.in_channels: images have 1 \(grayscale\), 3 \(RGB\), 4 \(RGBA\) channels, not 2"),
        (
            1,
            [{"DecodeImage": {"channels": 3}}],
            r"DecodeImage.channels: is 3, but Arch.in_channels \(the dict\) asks for 1",
        ),
        (
            1,
            [{"NormalizeImage": {"mean": [0.5] * 3, "std": [0.5] * 3}}],
            "NormalizeImage.mean: has 3 values, but images",
        ),
        (3, [{"NormalizeImage": {"mean": [0.5], "std": [0.5]}}], "NormalizeImage.std: has 1 values, but images have 3"),
        (1, [{"NormalizeImage": {"channel_num": 4}}], "channel_num: makes 4 channels, but Arch.in_channels"),
        (
            4,
            [{"DecodeImage": {}}, {"ColorJitter": {"brightness": 0.4}}],
            "ColorJitter: needs RGB images, and Arch.in_ch",
        ),
        (1, [{"DecodeImage": {}}, {"TimmAutoAugment": {}}], "TimmAutoAugment: needs RGB images.*remove this transform"),
    ],
)
def test_what_does_not_fit_is_refused_before_work(channels, operations, message):
    with pytest.raises(ConfigError, match=message):
        load(channels, operations)


def test_a_contradicting_image_shape(caplog):
    loaded = load(1, _TRANSFORMS, Global={"image_shape": [3, 16, 16]})
    assert loaded.Global.image_shape == [1, 16, 16]
    assert "image_shape: has 3 channels, but Arch.in_channels (the dict) is 1" in caplog.text
    with pytest.raises(ConfigError, match=r"has 3 channels, but Arch.in_channels"):
        ppcls.load_config(loaded, ["Global.image_shape=[3, 16, 16]"])


def test_arrays_of_one_channel_in_python(tmp_path):
    rng = np.random.default_rng(0)
    images = [(rng.integers(0, 60, (16, 16), np.uint8) + np.uint8(150 * (n % 2)), n % 2) for n in range(20)]
    recipe = {
        "Global": {"epochs": 4, "output_dir": str(tmp_path / "out"), "device": "cpu", "image_shape": [1, 16, 16]},
        "Arch": {"name": "ConvMixer", "dim": 8, "depth": 1, "kernel_size": 3, "patch_size": 4},
        "Optimizer": {"name": "AdamW", "lr": {"name": "Constant", "learning_rate": 0.02}},
    }
    result = ppcls.train(recipe, train_dataset=images, eval_dataset=images)
    assert result.best["top1"] == 1


def test_a_teacher_takes_the_same_channels():
    teacher = {"name": "ConvMixer", "dim": 8, "depth": 1, "pretrained": "teacher.pdparams"}
    distillation = {"teacher": teacher}
    with pytest.raises(ConfigError, match=r"Distillation.teacher: takes images of 3 channels, and the student"):
        load(1, _TRANSFORMS, Distillation=distillation)
    distillation["teacher"] = {**teacher, "in_channels": 1}
    assert load(1, _TRANSFORMS, Distillation=distillation).Distillation is not None
