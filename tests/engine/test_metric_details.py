"""What metrics report that is not one number, and metrics of which lower values are better, through a whole run."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

import ppcls
from ppcls.engine.callbacks import Callback
from ppcls.errors import CallbackError
from tests.helpers.runs import digests, records

DETAILED = (
    "Metric.Eval=[{TopkAcc: {topk: 1}}, {CalibrationError: {bins: 5}}, {F1: {average: [macro, none]}}, "
    "{ConfusionMatrix: {}}, {MeanAveragePrecision: {per_class: true}}]"
)
NAMES = [f"digit-{number}" for number in range(10)]


def test_details_are_in_the_metrics_file_and_in_the_output_of_eval(recipe, run):
    changes = (DETAILED, "Global.best_metric=calibration_error", "EMA.decay=0.5", "Global.use_visualdl=true")
    done = run("train", "-c", recipe, "-o", *changes)
    evaluations = [record for record in records(recipe.parent / "out") if record["kind"] != "train"]
    assert [record["kind"] for record in evaluations] == ["eval", "eval_ema"] * 2
    for record in evaluations:
        details = record["details"]
        assert set(details) == {"CalibrationError", "F1", "ConfusionMatrix", "MeanAveragePrecision"}
        matrix = np.array(details["ConfusionMatrix"]["matrix"])
        assert matrix.sum() == 40
        assert np.trace(matrix) / 40 == record["top1"]
        assert details["ConfusionMatrix"]["classes"] == NAMES
        assert [row["support"] for row in details["F1"]["per_class"]] == matrix.sum(1).tolist()
        assert [row["class_name"] for row in details["F1"]["per_class"]] == NAMES
        scores = [row["f1"] for row in details["F1"]["per_class"] if row["f1"] is not None]
        assert record["f1_macro"] == pytest.approx(np.mean(scores))
        assert sum(row["samples"] for row in details["CalibrationError"]["bins"]) == 40
        assert {"calibration_error", "mAP"} <= set(record)
    assert evaluations[0]["details"] != evaluations[1]["details"]  # of other weights

    # Lower is better, and the average's values count.
    best = min((record for record in evaluations if record["kind"] == "eval_ema"), key=lambda r: r["calibration_error"])
    assert json.loads(done.stdout) == {"calibration_error": best["calibration_error"], "epoch": best["epoch"]}
    log = [line for line in done.stderr.splitlines() if "[Avg]" in line]
    assert "f1_macro: " in log[-1]
    assert "support" not in done.stderr
    history = json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["history"]
    assert all("details" not in record for record in history)

    said = run("eval", "-c", recipe, "-o", DETAILED, "Global.pretrained_model=out/best_model").stdout
    values = json.loads(said)
    assert values["details"] == best["details"]
    assert {key: value for key, value in values.items() if key != "details"} == pytest.approx(
        {key: best[key] for key in values if key != "details"}
    )
    assert any(line.strip().startswith('{"class_id": 3, "class_name": "digit-3"') for line in said.splitlines())


def test_an_export_gives_the_same(models, run):
    recipe = ("-c", models / "recipe.yaml", "-o", DETAILED)
    weights = json.loads(run("eval", *recipe, "Global.pretrained_model=out/best_model", cwd=models).stdout)
    export = json.loads(run("eval", *recipe, "--model", "inference", cwd=models).stdout)
    assert export["details"]["ConfusionMatrix"] == weights["details"]["ConfusionMatrix"]
    assert export["details"]["F1"] == weights["details"]["F1"]
    for key in ("calibration_error", "mAP", "f1_macro", "top1"):
        assert export[key] == pytest.approx(weights[key], rel=1e-4), key


class Fail(Callback):
    """Ends a run in the middle of its first epoch; it is saved."""

    def on_step(self, run):
        if run.state.batch == 3:
            raise RuntimeError("stop here")


def test_training_metrics_and_adan_continue_exactly(recipe, run):
    """An interrupted epoch: the sums and scores so far are in the checkpoint, and the previous gradient is."""
    changes = [
        "Metric.Train=[{Recall: {average: [macro, weighted]}}, {CalibrationError: {}}, {MeanAveragePrecision: {}}]",
        "Global.print_batch_step=1",
        "Optimizer={name: Adan, weight_decay: 0.02, clip_norm: 1.0, layer_decay: 0.75, "
        "one_dim_param_no_weight_decay: true, "
        "lr_scaling: {base_batch_size: 32}, lr: {name: Cosine, learning_rate: 0.02}}",
    ]
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=whole")
    with pytest.raises(CallbackError, match="stop here"):
        ppcls.train(recipe, changes=changes, callbacks=[Fail()])
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["batch"] == 3
    run("train", "-c", recipe, "-o", *changes, "Global.checkpoints=out/latest")
    whole, parts = ((recipe.parent / name / "metrics.jsonl").read_text() for name in ("whole", "out"))
    assert parts == whole
    assert digests(recipe.parent / "whole") == digests(recipe.parent / "out")
    assert {"recall_macro", "recall_weighted", "calibration_error", "mAP"} <= set(json.loads(whole.splitlines()[4]))


def test_plain_recipes_have_the_records_that_they_had(recipe, run):
    run("train", "-c", recipe)
    keys = {"kind", "step", "epoch", "CELoss", "loss", "top1"}
    assert {frozenset(record) for record in records(recipe.parent / "out")} == {
        frozenset(keys | {"lr"}),
        frozenset(keys | {"top5"}),
    }


def test_a_plateau_of_a_metric_of_which_lower_is_better(recipe, run):
    changes = (
        "Metric.Eval=[{CalibrationError: {}}]",
        "Optimizer={name: SGD, lr: {name: ReduceOnPlateau, learning_rate: 0.01, patience: 0, threshold: 0.0}}",
        "Global.epochs=5",
    )
    run("train", "-c", recipe, "-o", *changes)
    evaluations = [record for record in records(recipe.parent / "out") if record["kind"] == "eval"]
    rates = {record["epoch"]: record["lr"] for record in records(recipe.parent / "out") if record["kind"] == "train"}
    best, rate = math.inf, 0.01
    for record in evaluations[:-1]:
        rate, best = (rate, record["calibration_error"]) if record["calibration_error"] < best else (rate * 0.1, best)
        assert rates[record["epoch"] + 1] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "Metric.Eval=[{ConfusionMatrix: {}}]",
            "Metric.Eval: reports no number by which the best model could be chosen (ConfusionMatrix)",
        ),
        ("Metric.Train=[{F1: {average: none}}]", "Metric.Train: F1 reports no number, and training logs numbers only"),
        ("Metric.Eval=[{MultiLabelMAP: {}}]", "Metric.Eval: MultiLabelMAP: is for multi-label data"),
        ("Metric.Train=[{ATTRMetric: {}}]", "Metric.Train: ATTRMetric: is for multi-label data"),
        (
            "Metric.Eval=[{Recall: {threshold: 0.4}}]",
            "Metric.Eval: Recall: threshold: has no meaning for",
        ),
        ("Metric.Eval=[{TprAtFpr: }]", "Metric.Eval: TprAtFpr: is for 2 classes"),
        ("Global.best_metric=ece", "Global.best_metric: no 'ece' is evaluated"),
    ],
)
def test_what_a_run_refuses(recipe, run, change, message):
    said = run("train", "-c", recipe, "-o", change, code=2).stderr
    assert message in said
    assert "-o " in said or "recipe.yaml:" in said  # where it is written
    assert not list((recipe.parent / "out").glob("*.pd*"))


def test_eval_needs_no_number_and_refuses_the_wrong_labels(trained, run):
    weights = ("-c", trained / "recipe.yaml", "-o", "Global.pretrained_model=out/best_model")
    done = run("eval", *weights, "Metric.Eval=[{ConfusionMatrix: }]", cwd=trained)
    assert set(json.loads(done.stdout)) == {"CELoss", "loss", "details"}
    done = run("eval", *weights, "Metric.Eval=[{HammingDistance: }]", cwd=trained, code=2)
    assert "HammingDistance: is for multi-label data, and these have one label per image" in done.stderr


def test_names_of_a_file_and_none(digits, recipe, run):
    """Data without labels.txt: the names of the recipe's file, else the ids."""
    values = yaml.safe_load(recipe.read_text())
    for side in ("Train", "Eval"):
        dataset = values["DataLoader"][side]["dataset"]
        target = recipe.parent / f"{side}.txt"
        folder = dataset.pop("image_root")
        lines = Path(dataset["cls_label_path"]).read_text().splitlines()
        target.write_text("".join(f"{folder}/{line}\n" for line in lines))
        dataset.update(image_root=str(recipe.parent), cls_label_path=str(target))
    recipe.write_text(yaml.safe_dump(values))
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    (recipe.parent / "names.txt").write_text("".join(f"{number} n{number}\n" for number in range(10)))
    matrix = ("-c", recipe, "-o", "Global.pretrained_model=out/latest", "Metric.Eval=[{ConfusionMatrix: }]")
    for change, expected in (
        ((), list(range(10))),
        ((f"Infer.PostProcess.class_id_map_file={recipe.parent}/names.txt",), [f"n{number}" for number in range(10)]),
    ):
        done = run("eval", *matrix, *change)
        assert json.loads(done.stdout)["details"]["ConfusionMatrix"]["classes"] == expected
