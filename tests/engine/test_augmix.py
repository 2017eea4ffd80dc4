"""AugMix with its loss, in whole runs."""

import json
import os
import signal

import numpy as np
import pytest
import yaml

from ppcls.engine import loop
from ppcls.weights import restricted_load
from tests.helpers.runs import digests, records, resume_from_latest, train

SPLIT = {"TimmAutoAugment": {"config_str": "augmix-m3-w3", "splits": 3}}
GMLP = "Arch={name: gMLP, class_num: 10, dim: 16, depth: 2, image_size: 16, patch_size: 4}"  # without batch norm


@pytest.fixture
def augmix(recipe):
    values = yaml.safe_load(recipe.read_text())
    values["DataLoader"]["Train"]["dataset"]["transform_ops"].insert(3, SPLIT)
    values["Loss"] = {"Train": [{"JSDCrossEntropy": None}], "Eval": [{"CELoss": None}]}
    recipe.write_text(yaml.safe_dump(values))
    return recipe


def test_resumed_inside_an_epoch_equals_uninterrupted(augmix, monkeypatch):
    out, whole = augmix.parent / "out", augmix.parent / "whole"
    train(augmix, "Global.output_dir=whole")
    assert records(whole)[0]["JSDCrossEntropy"] > 0
    calls, original = iter(range(1, 10**6)), loop.train_step

    def interrupted(*arguments):
        if next(calls) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(loop, "train_step", interrupted)
        train(augmix, code=130)
    assert json.loads((out / "latest.pdstates").read_text())["batch"] > 0
    train(augmix, "DataLoader.Train.loader.num_workers=2", *resume_from_latest(out))
    assert digests(out) == digests(whole)
    assert records(out) == records(whole)


def test_accumulated_batches_are_one_large_batch(augmix):
    """120 images: with batches of 16, the last group of two has 16 + 8, each image with the same weight."""
    changes = [GMLP, "Optimizer={name: Momentum, lr: {name: ConstLR, learning_rate: 0.05}}", "Global.epochs=1"]
    for name, options in {"large": (32, 1), "parts": (16, 2)}.items():
        batch = [f"DataLoader.Train.sampler.batch_size={options[0]}", f"Global.update_freq={options[1]}"]
        train(augmix, *changes, *batch, f"Global.output_dir={name}")
    large, parts = (restricted_load(augmix.parent / name / "latest.pdparams") for name in ("large", "parts"))
    for name, array in large.items():
        np.testing.assert_allclose(parts[name], array, atol=5e-6, err_msg=name)


def test_the_training_metric_counts_clean_images(augmix, monkeypatch):
    seen = []
    original = loop._report_step

    def report(run, batch, logits, losses):
        original(run, batch, logits, losses)
        clean = np.asarray(logits.numpy()[: len(batch.labels)]).argmax(1)
        seen.append((float((clean == batch.labels).sum()), len(batch.labels), losses.num_samples, batch.views))

    monkeypatch.setattr(loop, "_report_step", report)
    train(augmix, "Global.epochs=1", "Global.print_batch_step=1")
    assert all(count == samples and views == 3 for _, count, samples, views in seen)
    expected = sum(hits for hits, *_ in seen) / 120
    trained = [record for record in records(augmix.parent / "out") if record["kind"] == "train"][-1]
    assert trained["top1"] == pytest.approx(expected)


def test_splits_without_their_loss_train_on_all_views(augmix):
    train(augmix, "Loss.Train=[{CELoss: null}]", "Global.epochs=1")
    assert records(augmix.parent / "out")[0]["CELoss"] > 0


def test_show_data_shows_every_view(augmix, run, tmp_path):
    run("show-data", "-c", augmix, "--out", tmp_path / "sheet.png", "-n", "9")
    assert (tmp_path / "sheet.png").stat().st_size > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["DataLoader.Train.dataset.transform_ops.3.TimmAutoAugment.splits=1"],
            "Loss.Train: JSDCrossEntropy: compares 3 views of each image, and there is one",
        ),
        (
            ["DataLoader.Train.dataset.transform_ops.3.TimmAutoAugment.splits=4"],
            "Loss.Train: JSDCrossEntropy: num_splits: is 3, and transform_ops makes 4 images of each one",
        ),
        (["Loss.Eval=[{JSDCrossEntropy: null}]"], "Loss.Eval: JSDCrossEntropy: compares 3 views"),
        (
            ["DataLoader.Train.dataset.batch_transform_ops=[{MixupOperator: {alpha: 0.2}}]"],
            "DataLoader.Train: batch_transform_ops: would mix different images",
        ),
        (
            ["Distillation={teacher: {name: ConvMixer_256_8, pretrained: teacher.pdparams}}"],
            "Distillation: a teacher sees one image of each sample, and transform_ops makes 3 (splits)",
        ),
        (
            ["DataLoader.Eval.dataset.transform_ops.1={AugMix: {splits: 3}}"],
            "DataLoader.Eval.dataset.transform_ops.1.AugMix: splits is for training",
        ),
    ],
)
def test_mistakes_end_with_code_2_before_training(augmix, run, changes, message):
    done = run("train", "-c", augmix, "-o", *changes, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr and "[Train]" not in done.stderr
