"""Multi-label classification from training to the exported model."""

import json

import numpy as np
import pytest
import yaml

import ppcls
from tests.helpers.command_line import run_ppcls
from tests.helpers.exports import FAMILIES
from tests.helpers.multilabel import NAMES, change, write_multilabel_recipe
from tests.helpers.recipes import MIXED_IMAGES, write_recipe

BEST = "Global.pretrained_model=out/best_model"


@pytest.fixture
def recipe(digits, tmp_path):
    return write_multilabel_recipe(digits, tmp_path)


@pytest.fixture(scope="module")
def done(digits, tmp_path_factory):
    """Return a folder with a trained run in ``out`` and its export in ``inference``; to be left as it is."""
    folder = tmp_path_factory.mktemp("multilabel")
    recipe = write_multilabel_recipe(digits, folder)
    run_ppcls("train", "-c", recipe, "-o", "Global.epochs=12", cwd=folder)
    onnx = ["--self-contained"] if _onnx_is_installed() else []
    run_ppcls("export", "-c", recipe, *onnx, "-o", BEST, cwd=folder)
    return folder


def _onnx_is_installed():
    try:
        import onnxruntime
        import paddle2onnx
    except ImportError:
        return False
    return bool(onnxruntime and paddle2onnx)


def evaluation(folder, *arguments):
    return json.loads(run_ppcls("eval", "-c", folder / "recipe.yaml", *arguments, cwd=folder).stdout)


def test_it_learns_and_reports_the_mean_average_precision(done):
    first, *_, last = [
        record
        for record in map(json.loads, (done / "out" / "metrics.jsonl").read_text().splitlines())
        if record["kind"] == "eval"
    ]
    assert last["MultiLabelMAP"] > max(0.8, first["MultiLabelMAP"])
    assert last["MultiLabelLoss"] < first["MultiLabelLoss"]


def test_the_loss_and_metric_of_an_evaluation_are_those_of_the_definition(done, digits):
    result = evaluation(done, "-o", BEST, "Metric.Eval=[{HammingDistance: null}]")
    predictor = ppcls.load_predictor(done / "out")
    paths, targets = read_list(done, digits)
    scores = predictor.run(np.stack([predictor.prepare(path) for path in paths])).astype(np.float64)
    losses = -(targets * np.log(scores) + (1 - targets) * np.log(1 - scores)).sum(-1)
    assert result["MultiLabelLoss"] == pytest.approx(losses.mean(), rel=1e-4)
    assert result["HammingDistance"] == pytest.approx(((scores > 0.5) != targets).mean())
    # Probabilities of a sigmoid do not add up to 1.
    assert abs(scores.sum(-1) - 1).max() > 0.1


def read_list(folder, digits):
    lines = [line.split("\t") for line in (folder / "lists" / "val_list.txt").read_text().splitlines()]
    return [str(digits / path) for path, _ in lines], np.array([json.loads(f"[{labels}]") for _, labels in lines])


def test_weighted_losses_count_the_classes_of_their_own_data(recipe, run, tmp_path, digits):
    ratio = {"weight": 1.0, "weight_ratio": True, "size_sum": True}
    change(recipe, Loss={side: [{"MultiLabelLoss": ratio}] for side in ("Train", "Eval")})
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    result = json.loads(run("eval", "-c", recipe, "-o", BEST).stdout)
    predictor = ppcls.load_predictor(tmp_path / "out")
    paths, targets = read_list(tmp_path, digits)
    scores = predictor.run(np.stack([predictor.prepare(path) for path in paths])).astype(np.float64)
    share = targets.mean(0)
    weights = np.where(targets == 1, np.exp(1 - share), np.exp(share))
    losses = -(weights * (targets * np.log(scores) + (1 - targets) * np.log(1 - scores))).sum(-1)
    assert result["MultiLabelLoss"] == pytest.approx(losses.mean(), rel=1e-4)
    records = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    (in_training,) = [record["MultiLabelLoss"] for record in records if record["kind"] == "eval"]
    assert result["MultiLabelLoss"] == pytest.approx(in_training, rel=1e-6)


def test_a_weighted_loss_without_the_ratio_of_the_data(recipe, run):
    change(
        recipe,
        Loss__Train=[{"MultiLabelLoss": {"weight_ratio": True}}],
        DataLoader__Train__dataset={
            **yaml.safe_load(recipe.read_text())["DataLoader"]["Train"]["dataset"],
            "label_ratio": False,
        },
    )
    assert (
        "MultiLabelLoss.weight_ratio: needs the data set's label_ratio: true"
        in run("train", "-c", recipe, code=2).stderr
    )


@pytest.mark.parametrize("loss", ["MultiLabelLoss", "MultiLabelAsymmetricLoss"])
def test_an_interrupted_run_continues_exactly(digits, tmp_path, loss):
    import paddle

    weights = []
    for name, epochs in (("whole", (2,)), ("parts", (1, 2))):
        (tmp_path / name).mkdir()
        recipe = write_multilabel_recipe(digits, tmp_path / name)
        change(recipe, Loss__Train=[{loss: None}], Metric__Train=[{"AccuracyScore": None}])
        options = (MIXED_IMAGES, "Optimizer.lr.name=ConstLR", "Optimizer.lr.warmup_epoch=0", "Global.checkpoints=auto")
        for count in epochs:
            run_ppcls("train", "-c", recipe, "-o", f"Global.epochs={count}", *options, cwd=tmp_path / name)
        weights.append(paddle.load(str(tmp_path / name / "out" / "latest.pdparams")))
    for name, tensor in weights[0].items():
        np.testing.assert_array_equal(tensor.numpy(), weights[1][name].numpy(), err_msg=name)


def test_accumulated_batches_are_one_batch(digits, tmp_path):
    import paddle

    results = []
    for batch_size, update_freq in ((24, 1), (8, 3)):
        folder = tmp_path / f"{batch_size}"
        folder.mkdir()
        recipe = write_multilabel_recipe(digits, folder)
        ops = yaml.safe_load(recipe.read_text())["DataLoader"]["Eval"]["dataset"]["transform_ops"]
        # Without batch norms and random transforms, the gradients are those of the whole batch.
        arch = {"name": "gMLP", "class_num": 3, **FAMILIES["gMLP"]}
        change(
            recipe,
            Arch=arch,
            Optimizer={"name": "Momentum", "lr": {"name": "ConstLR", "learning_rate": 0.1}},
            Loss__Train=[{"MultiLabelAsymmetricLoss": None}],
            DataLoader__Train__dataset={
                **yaml.safe_load(recipe.read_text())["DataLoader"]["Train"]["dataset"],
                "transform_ops": ops,
            },
        )
        changes = (f"DataLoader.Train.sampler.batch_size={batch_size}", f"Global.update_freq={update_freq}")
        run_ppcls("train", "-c", recipe, "-o", "Global.epochs=1", *changes, cwd=folder)
        results.append(paddle.load(str(folder / "out" / "latest.pdparams")))
    for name, tensor in results[0].items():
        np.testing.assert_allclose(tensor.numpy(), results[1][name].numpy(), rtol=1e-3, atol=1e-5, err_msg=name)


def test_answers_have_all_classes_above_their_thresholds(done, digits):
    images = [str(digits / "val" / name) for name in ("000.png", "004.png", "008.png", "012.png")]
    scores = [dict(zip(a["class_ids"], a["scores"])) for a in predict(done, images, threshold=0.0)]
    assert all(len(values) == 3 for values in scores)
    for threshold in (0.5, [0.2, 0.9, 0.5], {"prime": 0.95, "even": 0.1}):
        limits = threshold
        if isinstance(threshold, float):
            limits = [threshold] * 3
        elif isinstance(threshold, dict):
            limits = [threshold.get(name, 0.5) for name in NAMES]
        for answer, values in zip(predict(done, images, threshold), scores):
            chosen = sorted((i for i in range(3) if values[i] >= limits[i]), key=lambda i: -values[i])
            assert answer["class_ids"] == chosen
            assert answer["label_names"] == [NAMES[i] for i in chosen]
    assert [a["class_ids"] for a in predict(done, images, threshold=1.0)] == [[]] * 4


def predict(folder, images, threshold):
    change_ = f"Infer.PostProcess.threshold={json.dumps(threshold)}"
    done = run_ppcls("infer", folder / "out", *images, "-o", change_, cwd=folder)
    return json.loads(done.stdout)


def test_infer_by_recipe_and_its_formats(done, digits, tmp_path):
    options = (BEST, f"Infer.infer_imgs={digits}/val", f"Infer.save_dir={tmp_path}")
    answers = json.loads(run_ppcls("infer", "-c", done / "recipe.yaml", "-o", *options, cwd=done).stdout)
    assert json.loads((tmp_path / "predictions.json").read_text()) == answers
    paths, targets = read_list(done, digits)
    expected = dict(zip(paths, targets))
    right = sum(sorted(a["class_ids"]) == np.flatnonzero(expected[a["file_name"]]).tolist() for a in answers)
    assert right > len(answers) / 2
    run_ppcls("infer", "-c", done / "recipe.yaml", "-o", *options, "Infer.format=map", cwd=done)
    mapped = json.loads((tmp_path / "predictions.json").read_text())
    assert mapped == {answer["file_name"]: answer["class_ids"] for answer in answers}


def test_the_export_gives_the_answers_of_the_checkpoint(done, digits):
    described = yaml.safe_load((done / "inference" / "inference.yml").read_text())
    assert described["PostProcess"] == {"MultiLabelThreshOutput": {"label_list": NAMES}}
    images = [str(path) for path in sorted((digits / "val").iterdir())]
    expected = ppcls.load_predictor(done / "out").predict(images)
    predictor = ppcls.Predictor(str(done / "inference"), backend="paddle")
    assert predictor.pipeline.postprocess.is_multilabel
    assert_same(predictor.predict(images), expected)
    assert evaluation(done, "--model", done / "inference", "--backend", "paddle") == pytest.approx(
        evaluation(done, "-o", BEST), rel=1e-4
    )


def test_onnx_gives_the_same(done, digits):
    if not _onnx_is_installed():
        pytest.skip("needs paddle2onnx and onnxruntime")
    images = [str(path) for path in sorted((digits / "val").iterdir())]
    expected = ppcls.load_predictor(done / "out").predict(images)
    for name in ("inference.onnx", "inference_self_contained.onnx"):
        assert_same(ppcls.Predictor(str(done / "inference" / name)).predict(images), expected)
    result = evaluation(done, "--model", done / "inference" / "inference.onnx")
    assert result == pytest.approx(evaluation(done, "-o", BEST), rel=1e-4)


def assert_same(found, expected):
    for answer, wanted in zip(found, expected):
        assert answer["class_ids"] == wanted["class_ids"]
        assert answer["label_names"] == wanted["label_names"]
        assert answer["scores"] == pytest.approx(wanted["scores"], abs=2e-5)
    assert len(found) == len(expected)


def test_the_number_of_classes_is_not_chosen(done, digits):
    image = digits / "val" / "000.png"
    for model in ("out", "inference"):
        stderr = run_ppcls("infer", done / model, image, "--topk", "2", cwd=done, code=2).stderr
        assert "topk: how many classes are in an answer of MultiLabelThreshOutput depends on thresholds" in stderr


def test_an_export_is_evaluated_with_its_own_kind_of_labels(done, digits, tmp_path):
    single = write_recipe(digits, tmp_path)
    changes = ("Arch.class_num=3", "Metric.Eval=[{TopkAcc: {topk: [1]}}]")
    stderr = run_ppcls("eval", "-c", single, "--model", done / "inference", "-o", *changes, cwd=tmp_path, code=2).stderr
    assert "is a multi-label model, and Global.use_multilabel is false" in stderr


def test_int8_is_refused(recipe, run):
    pytest.importorskip("onnxruntime")
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    stderr = run("export", "-c", recipe, "--int8", "-o", BEST, code=2).stderr
    assert "the int8 check compares top-1 accuracy, which multi-label models do not have" in stderr
