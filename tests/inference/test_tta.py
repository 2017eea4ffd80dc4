"""Test-time augmentation: probabilities averaged over views."""

import json

import numpy as np
import pytest

import ppcls
from ppcls.data.transforms import build_transforms
from ppcls.data.transforms.views import with_views
from ppcls.errors import ConfigError
from tests.helpers.multilabel import write_multilabel_recipe

_CROPPED = (
    "[{DecodeImage: {}}, {ResizeImage: {size: 20}}, {CropImage: {size: 16}}, "
    "{NormalizeImage: {scale: 1.0/255.0, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5], order: ''}}, {ToCHWImage: null}]"
)


@pytest.fixture
def files(digits):
    return [str(path) for path in sorted((digits / "val").iterdir())[:6]]


def scores(predictor, images):
    return np.stack([predictor.run(predictor.prepare(image)[None])[0] for image in images])


def test_the_mirror_image(trained, files):
    plain = ppcls.load_predictor(trained / "out")
    flipped = ppcls.load_predictor(trained / "out", tta="flip")
    images = np.stack([plain.prepare(file) for file in files])
    expected = (plain.run(images) + plain.run(images[..., ::-1].copy())) / 2
    np.testing.assert_allclose(scores(flipped, files), expected, atol=1e-6)
    answers = flipped.predict(files)
    assert [answer["class_ids"][0] for answer in answers] == expected.argmax(1).tolist()
    assert answers[0]["scores"][0] == pytest.approx(expected[0].max(), abs=2e-5)
    assert abs(expected - plain.run(images)).max() > 1e-3  # else this test would not tell


def test_the_five_crops():
    size = {"CropImage": {"size": [4, 3]}}
    transforms = with_views(build_transforms([size, {"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}]), "crops")
    image = np.random.default_rng(0).integers(0, 256, (8, 10, 3), np.uint8)
    views = transforms(image, np.random.default_rng(0))
    plain = build_transforms([{"NormalizeImage": {"order": ""}}, {"ToCHWImage": None}])(image, np.random.default_rng(0))
    corners = [plain[:, 2:5, 3:7], plain[:, :3, :4], plain[:, :3, 6:], plain[:, 5:, :4], plain[:, 5:, 6:]]
    np.testing.assert_array_equal(views, np.stack(corners))


@pytest.mark.parametrize("tta", ["flip", "crops"])
def test_run_and_export_agree(models, files, tta, run, tmp_path):
    changes = [f"Infer.transforms={_CROPPED}"]
    of_run = ppcls.load_predictor(models / "out", changes=changes, tta=tta)
    target = f"Global.save_inference_dir={tmp_path}/export"
    run("export", models / "out", "-o", target, *changes)
    exported = ppcls.Predictor(tmp_path / "export", tta=tta)
    np.testing.assert_allclose(scores(exported, files), scores(of_run, files), atol=1e-4)
    answers = [ppcls.Predictor(tmp_path / "export").predict(files), exported.predict(files)]
    assert answers[0] != answers[1]


def test_a_self_contained_export(models, files):
    """It takes pixels with the channels last."""
    of_run = ppcls.load_predictor(models / "out", tta="flip")
    path = next((models / "inference").glob("*pixels*.onnx"), None) or next(
        path for path in (models / "inference").glob("*.onnx") if path.name != "inference.onnx"
    )
    exported = ppcls.Predictor(path, tta="flip")
    np.testing.assert_allclose(scores(exported, files), scores(of_run, files), atol=1e-3)


def test_features_are_averaged_too(trained, files):
    plain, flipped = ppcls.load_predictor(trained / "out"), ppcls.load_predictor(trained / "out", tta="flip")
    run = plain.feature_run()
    images = np.stack([plain.prepare(file) for file in files])
    expected = (run(images) + run(images[..., ::-1].copy())) / 2
    np.testing.assert_allclose(flipped.embed(files), expected, atol=1e-5)


def test_eval_gives_the_numbers_with_and_without(models, digits, run):
    arguments = ("-c", models / "recipe.yaml")
    weights = ("-o", f"Global.pretrained_model={models}/out/best_model")
    plain = json.loads(run("eval", *arguments, *weights).stdout)
    both = json.loads(run("eval", *arguments, "--tta", "flip", *weights).stdout)
    assert {name: both[name] for name in plain} == plain
    files = [line.split() for line in (digits / "val_list.txt").read_text().splitlines()]
    flipped = ppcls.load_predictor(models / "out", tta="flip")
    found = scores(flipped, [digits / name for name, _ in files]).argmax(1)
    top1 = float(np.mean(found == [int(label) for _, label in files]))
    assert both["tta"] == {"views": "flip", "top1": pytest.approx(top1), "top5": both["tta"]["top5"]}
    exported = json.loads(run("eval", *arguments, "--model", models / "inference", "--tta", "flip").stdout)
    assert exported["tta"]["top1"] == pytest.approx(top1)
    crops = f"DataLoader.Eval.dataset.transform_ops={_CROPPED}"
    five = json.loads(run("eval", *arguments, "--tta", "crops", *weights, crops).stdout)
    assert five["tta"]["views"] == "crops"


def test_eval_with_workers_and_several_labels(digits, run, tmp_path):
    recipe = write_multilabel_recipe(digits, tmp_path)
    run("train", "-c", recipe)
    done = run(
        *("eval", "-c", recipe, "--tta", "flip", "-o", f"Global.pretrained_model={tmp_path}/out/latest"),
        "DataLoader.Eval.loader.num_workers=1",
    )
    result = json.loads(done.stdout)
    names = set(result) - {"tta", "details"}
    assert set(result["tta"]) - {"views"} == {name for name in names if "Loss" not in name and name != "loss"}


def test_what_is_not_possible(trained, run, tmp_path):
    with pytest.raises(ConfigError, match="tta: must be one of 'none', 'flip', 'crops'"):
        ppcls.load_predictor(trained / "out", tta="spin")
    with pytest.raises(ConfigError, match=r"Infer.tta: crops: takes the corners .* no CropImage"):
        ppcls.load_predictor(trained / "out", tta="crops")
    weights = f"Global.pretrained_model={trained}/out/best_model"
    done = run("eval", "-c", trained / "recipe.yaml", "--tta", "crops", "-o", weights, code=2)
    assert "tta: crops: takes the corners" in done.stderr
    done = run("export", trained / "out", "-o", "Infer.tta=flip", f"Global.save_inference_dir={tmp_path}/export")
    assert "Infer.tta=flip is not part of an export" in done.stderr
