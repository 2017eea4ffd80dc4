"""``ppcls.load_predictor`` and ``ppcls.embed``: runs, checkpoints, exports, ONNX files; also of earlier versions."""

import json
import subprocess
import sys

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.errors import CheckpointError, ConfigError, DataError
from tests.conftest import ROOT

EARLIER = ROOT / "tests" / "earlier_versions" / "0.1.0"


@pytest.fixture
def image(digits):
    return digits / "val" / "000.png"


def test_whatever_holds_the_model_answers_alike(models, digits):
    images = sorted((digits / "val").iterdir())[:5]
    answers = {
        name: ppcls.load_predictor(models / name, device="cpu", topk=3, batch_size=2).predict(images)
        for name in ("out", "out/best_model", "out/best_model.pdparams", "inference", "inference/inference.onnx")
    }
    expected = answers.pop("out")
    assert [len(answer["class_ids"]) for answer in expected] == [3] * 5
    for found in answers.values():
        assert [answer["class_ids"] for answer in found] == [answer["class_ids"] for answer in expected]
        np.testing.assert_allclose(
            [answer["scores"] for answer in found], [answer["scores"] for answer in expected], atol=1.01e-5
        )


def test_a_run_has_the_interface_of_an_export(models, image):
    runner = ppcls.load_predictor(models / "out", device="cpu")
    export = ppcls.load_predictor(models / "inference", device="cpu", backend="paddle")
    public = {name for name in dir(export) if not name.startswith("_")} - {"description"}
    assert public <= set(dir(runner))
    assert isinstance(export, ppcls.Predictor)
    assert (runner.backend, runner.device) == (export.backend, export.device) == ("paddle", "cpu")
    batch = runner.prepare(image)[None]
    np.testing.assert_allclose(runner.run(batch), export.run(batch), atol=1e-6)
    assert list(runner.stream(iter([image]))) == runner.predict(image)


def test_weights_alone_need_a_recipe(models, image, tmp_path):
    recipe = models / "recipe.yaml"
    weights = tmp_path / "mine.pdparams"
    weights.write_bytes((models / "out" / "best_model.pdparams").read_bytes())
    with pytest.raises(ConfigError, match=r"comes without its recipe.*config="):
        ppcls.load_predictor(weights)
    expected = ppcls.load_predictor(models / "out", device=None).predict(image)[0]["scores"]
    for config in (recipe, str(recipe), ppcls.load_config(recipe), ppcls.load_config(recipe).plain()):
        predictor = ppcls.load_predictor(weights, config=config, changes={"Infer.batch_size": 3}, device=None)
        assert predictor.predict(image)[0]["scores"] == expected
        assert predictor.pipeline.batch_size == 3


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("nowhere", {}, "no such run folder, checkpoint, or exported model"),
        ("out", {"backend": "onnx"}, "backend onnx: .* is not an exported model, and runs in Paddle"),
        ("out", {"device": "gpu:1"}, "runs on the first GPU that CUDA_VISIBLE_DEVICES leaves"),
        ("out", {"device": "tpu"}, "device 'tpu': must be auto, cpu, gpu"),
        ("out", {"device": "cpu", "changes": ["Global.device=cpu"]}, "says the same thing"),
        ("out", {"threads": 2}, "threads: .* is not an exported model; set OMP_NUM_THREADS"),
        ("out", {"batch_size": 0}, "batch_size: must be a whole number"),
        ("out", {"topk": 0}, "topk: must be a whole number"),
        ("out", {"stage": "first"}, "no stage 'first' here"),
        ("inference", {"config": {}}, "config: .* is an exported model, which has its recipe in it; leave config out"),
        ("inference", {"changes": ["Global.seed=1"]}, "changes: .* is an exported model"),
        ("inference", {"model": paddle.nn.ReLU()}, "model: .* is an exported model"),
    ],
)
def test_mistakes(models, model, arguments, message):
    with pytest.raises((ConfigError, CheckpointError), match=message):
        ppcls.load_predictor(models / model, **arguments)


def test_features_are_what_the_classifier_gets(models, digits):
    images = sorted((digits / "val").iterdir())[:5]
    predictor = ppcls.load_predictor(models / "out", device="cpu", batch_size=2)
    features = ppcls.embed(models / "out", images, device="cpu")
    assert features.shape == (5, 16)
    assert features.dtype == np.float32
    logits = predictor.model.head(paddle.to_tensor(features))
    scores = paddle.nn.functional.softmax(logits).numpy().max(axis=1)
    np.testing.assert_allclose(scores, [answer["scores"][0] for answer in predictor.predict(images)], atol=1.01e-5)
    np.testing.assert_allclose(ppcls.embed(predictor, images), features, atol=1e-6)
    # The model is as it was.
    assert predictor.model.head is not None


def test_features_of_broken_images_are_nan(models, image, caplog):
    predictor = ppcls.load_predictor(models / "out", device="cpu")
    features = predictor.embed([b"<html>", image])
    assert np.isnan(features[0]).all()
    assert np.isfinite(features[1]).all()
    with pytest.raises(DataError, match="none of the 1 images can be read"):
        predictor.embed([b"<html>"])


def test_who_gives_no_features_says_so(models, image):
    with pytest.raises(ConfigError, match=r"an exported model gives probabilities only"):
        ppcls.embed(models / "inference", image)
    with pytest.raises(ConfigError, match="batch_size: the predictor is loaded already"):
        ppcls.embed(ppcls.load_predictor(models / "out"), image, batch_size=3)

    class Plain(paddle.nn.Layer):
        def forward(self, images):
            return images

    predictor = ppcls.load_predictor(models / "out", device="cpu")
    predictor.model = Plain()
    with pytest.raises(ConfigError, match="Plain gives no features: it needs a method forward_features"):
        predictor.embed(image)
    predictor.model.forward_features = lambda images: images.flatten(2)
    with pytest.raises(ConfigError, match=r"must return \[B, C, H, W\] or \[B, C\], not \[1, 3, 256\]"):
        predictor.embed(image)


@pytest.mark.parametrize("model", ["run", "run/best_model", "inference"])
def test_what_earlier_versions_wrote_is_loaded(model):
    if model == "inference" and paddle.__version__ < "3":
        pytest.skip("written for Paddle 3")
    (answer,) = ppcls.load_predictor(EARLIER / model, device="cpu").predict(EARLIER / "image.png")
    (expected,) = json.loads((EARLIER / "answers.json").read_text())
    assert answer["class_ids"] == expected["class_ids"]
    assert answer["label_names"] == expected["label_names"]
    np.testing.assert_allclose(answer["scores"], expected["scores"], atol=1.01e-5)


def test_onnx_files_are_loaded_without_paddle(models, image):
    code = (
        f"import sys, ppcls; print(ppcls.load_predictor({str(models / 'inference' / 'inference.onnx')!r})"
        f".predict({str(image)!r})); assert 'paddle' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "class_ids" in done.stdout
