"""Two processes compute what one does."""

import json
import re
import shutil

import numpy as np
import pytest

from ppcls.weights import restricted_load
from tests.distributed.jobs import CLOSE, PART, largest_difference
from tests.helpers.recipes import write_recipe

pytestmark = pytest.mark.slow

WEIGHTED = [
    f"Loss.{side}=[{{CELoss: {{class_weights: [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]}}}}]" for side in ("Train", "Eval")
]


def records(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def close(one, other):
    """Check that two lists of records are the same but for rounding."""
    assert len(one) == len(other)
    for first, second in zip(one, other):
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert second[key] == (pytest.approx(value, rel=1e-4, abs=1e-5) if isinstance(value, float) else value), key


def test_training_evaluation_and_inference_equal_one_process(recipe, job, pair, run, tmp_path, digits):
    """Batches of 16 and one of 1 image, groups of 3 batches, clipping by the global norm, classes with weights."""
    scaled = "Optimizer.lr_scaling={base_batch_size: 24}"  # of all processes
    changes = ("Global.update_freq=3", "EMA.decay=0.5", "Global.use_visualdl=true", scaled, *WEIGHTED)
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=one")
    out, said = job("train", recipe, *changes, PART, "Global.output_dir=two").finish()
    one, two = tmp_path / "one", tmp_path / "two"
    assert largest_difference(one, two) < CLOSE
    assert largest_difference(one, two, "latest_raw.pdparams") < CLOSE
    close(records(one), records(two))
    # One process talks, and writes.
    assert json.JSONDecoder().raw_decode(out[out.index("{") :])[0]["epoch"] in (1, 2)
    assert said.count("[Train][Epoch 1/2][Avg]") == 2  # in its log, which the launcher shows
    assert "rank 1" not in said
    assert "2 processes, batches of 16 images together" in said
    assert re.search(r"CPU threads: 1 \(set by the user", said)
    assert len(list((two / "vdl").iterdir())) == 1

    # The sums of evaluation do not depend on who counted: the same weights give the same counts, and the same losses
    # as far as the logits of a sample do not depend on its batch.
    weights = "Global.pretrained_model=one/best_model"
    alone = run("eval", "-c", recipe, "-o", weights).stdout
    together, _ = pair("eval", recipe, weights).finish()
    results = [json.loads(alone), json.loads(together)]
    assert [results[0][key] for key in ("top1", "top5")] == [results[1][key] for key in ("top1", "top5")]
    assert results[0]["loss"] == pytest.approx(results[1]["loss"], rel=1e-7)

    (tmp_path / "images").mkdir()
    for number, image in enumerate(sorted((digits / "val").iterdir())[:23]):
        (tmp_path / "images" / f"{number:02d}.png").write_bytes(image.read_bytes() if number != 20 else b"broken")
    changes = (weights, "Infer.infer_imgs=images", "Infer.batch_size=4")
    run("infer", "-c", recipe, "-o", *changes, "Infer.save_dir=p1", code=2)
    _, said = pair("infer", recipe, *changes, "Infer.save_dir=p2").finish((2, 0))
    answers = []
    for name in ("p1", "p2"):
        answers.append(json.loads((tmp_path / name / "predictions.json").read_text()))
        assert [path.name for path in (tmp_path / name).iterdir()] == ["predictions.json"]
    assert re.search(r"rank 1 ERROR: images/20.png: ", said)
    assert [a["file_name"] for a in answers[0]] == [a["file_name"] for a in answers[1]]
    for first, second in zip(*answers):
        assert first.get("class_ids") == second.get("class_ids")
        assert first.get("error") == second.get("error")
        assert second.get("scores", []) == pytest.approx(first.get("scores", []), rel=1e-5)
    assert "error" in answers[1][20]


def test_batch_norms_have_one_statistic_and_replaced_images_one_list(digits, pair, run, tmp_path):
    recipe = write_recipe(digits, tmp_path)
    shutil.copytree(digits, tmp_path / "data")
    victims = sorted((tmp_path / "data" / "train").iterdir())[::40]
    for victim in victims:
        victim.write_bytes(b"broken")
    changes = (f"DataLoader.Train.dataset.image_root={tmp_path}/data", "DataLoader.Train.dataset.on_error=skip", PART)
    _, said = pair("train", recipe, *changes, "DataLoader.Train.loader.num_workers=1").finish()
    listed = (tmp_path / "out" / "skipped_images.txt").read_text().splitlines()
    assert sorted(line.split(": ")[0] for line in listed) == [str(victim) for victim in victims]
    assert f"{len(victims)} unreadable images so far were replaced" in said
    # Both processes evaluated with the statistics that were saved.
    history = json.loads((tmp_path / "out" / "latest.pdstates").read_text())["history"]
    done = run("eval", "-c", recipe, "-o", "Global.pretrained_model=out/latest")
    assert json.loads(done.stdout)["loss"] == pytest.approx(history[-1]["loss"], rel=1e-6)
    _, said = pair("train", recipe, "Arch.use_sync_bn=true").finish((2, 2))
    assert "Arch.use_sync_bn: not available on CPUs" in said


def test_the_mean_of_a_batch_norm_is_that_of_all_images(digits, pair, run, tmp_path):
    """Also of a last batch of one image, of which one process has nothing; the weights stay as they are."""
    recipe = write_recipe(digits, tmp_path)
    listed = (digits / "train_list.txt").read_text().splitlines()[:17]
    (tmp_path / "few.txt").write_text("\n".join(listed) + "\n")
    still = "Optimizer={name: SGD, lr: {name: ConstLR, learning_rate: 1.0e-12}}"
    changes = (f"DataLoader.Train.dataset.cls_label_path={tmp_path}/few.txt", still, "Global.eval_during_train=false")
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=one")
    pair("train", recipe, *changes, PART, "Global.output_dir=two").finish()
    one, two = (restricted_load(tmp_path / name / "latest.pdparams")["stem.norm._mean"] for name in ("one", "two"))
    assert np.abs(one).max() > 1e-3
    np.testing.assert_allclose(two, one, atol=1e-6)


def test_metrics_of_two_processes_equal_those_of_one(recipe, pair, run, tmp_path):
    """Sums and scores are put together exactly, also where a process has an empty part of the last batch."""
    listed = "{F1: {average: [macro, weighted, none]}}, {CalibrationError: }, {ConfusionMatrix: }, {BalancedAccuracy: }"
    scores = "{MeanAveragePrecision: {per_class: true}}"
    metrics = (
        f"Metric.Eval=[{{TopkAcc: {{topk: 1}}}}, {listed}, {scores}]",
        "Metric.Train=[{Recall: }, {MeanAveragePrecision: }]",
    )
    run("train", "-c", recipe, "-o", *metrics, "Global.output_dir=one")
    pair("train", recipe, *metrics, PART, "Global.output_dir=two").finish()
    one, two = (records(tmp_path / name) for name in ("one", "two"))
    close([scalars(record) for record in one], [scalars(record) for record in two])
    weights = "Global.pretrained_model=one/best_model"
    out, _ = pair("eval", recipe, weights, *metrics).finish()
    alone = run("eval", "-c", recipe, "-o", weights, *metrics).stdout
    results = [json.loads(alone), json.loads(out)]
    details = [result.pop("details") for result in results]
    for name in ("ConfusionMatrix", "F1", "MeanAveragePrecision"):
        assert details[0][name] == details[1][name]
    assert results[0] == pytest.approx(results[1], rel=1e-6)


def test_the_report_of_two_processes_has_the_answers_of_one(recipe, pair, run, tmp_path):
    import numpy as np

    run("train", "-c", recipe, "-o", "Global.report=true", "Global.output_dir=one")
    pair("train", recipe, "Global.report=true", PART, "Global.output_dir=two").finish()
    one, two = (np.load(tmp_path / name / "predictions.npz") for name in ("one", "two"))
    for name in ("epoch", "eval.indices", "eval.labels", "eval.predicted"):
        np.testing.assert_array_equal(one[name], two[name])
    np.testing.assert_allclose(one["eval.label_scores"], two["eval.label_scores"], atol=1e-4)
    for name in ("one", "two"):
        page = (tmp_path / name / "report.html").read_text()
        assert "training is done" in page
        assert ".h0{" in page or ".h1{" in page  # a heat map


def scalars(record):
    return {key: value for key, value in record.items() if key != "details"}
