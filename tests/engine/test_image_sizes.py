"""Image sizes that change over training, in whole runs."""

import json
import os
import signal

import pytest
import yaml

from ppcls.engine import loop
from tests.helpers.runs import digests, records, resume_from_latest, train

# With the traits of MobileViTV3's recipes: no batch_size, and a data set of its own name.
MULTI_SCALE = {
    "DataLoader.Train.dataset.name": "MultiScaleDataset",
    "DataLoader.Train.sampler": {
        "name": "MultiScaleSampler",
        "scales": [16, 8, 24],
        "first_bs": 8,
        "divided_factor": 8,
        "is_training": True,
    },
}
CROP = {"RandCropImage": {"size": 16, "interpolation": "bilinear", "use_log_aspect": True}}
PROGRESSIVE_OPS = [
    {"DecodeImage": {"to_rgb": True}},
    {"RandCropImage": {"size": 8, "progress_size": [8, 12, 16, 20], "scale": [0.5, 1.0]}},
    {"RandFlipImage": {"flip_code": 1}},
    {"RandAugmentV2": {"num_layers": 2, "magnitude": 5.0, "progress_magnitude": [5.0, 8.3, 11.7, 15.0]}},
    {"NormalizeImage": {"scale": 1.0, "mean": [128.0] * 3, "std": [128.0] * 3, "order": ""}},
    {"ToCHWImage": None},
]


def changed(recipe, changes):
    values = yaml.safe_load(recipe.read_text())
    for path, value in changes.items():
        section, keys = values, path.split(".")
        for key in keys[:-1]:
            section = section[key]
        section[keys[-1]] = value
    recipe.write_text(yaml.safe_dump(values))
    return recipe


@pytest.fixture
def multi_scale(recipe):
    values = yaml.safe_load(recipe.read_text())
    ops = values["DataLoader"]["Train"]["dataset"]["transform_ops"]
    return changed(recipe, {**MULTI_SCALE, "DataLoader.Train.dataset.transform_ops": [ops[0], CROP, *ops[3:]]})


@pytest.fixture
def progressive(recipe):
    return changed(
        recipe,
        {
            "Global.epochs": 4,
            "Global.train_mode": "progressive",
            "DataLoader.Train.dataset.transform_ops": PROGRESSIVE_OPS,
        },
    )


def interrupt(monkeypatch, step):
    """Let Ctrl-C be pressed when the ``step``-th batch of this process begins."""
    calls, original = iter(range(1, 10**6)), loop.train_step

    def interrupted(*arguments):
        if next(calls) == step:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    monkeypatch.setattr(loop, "train_step", interrupted)


def test_multi_scale_resumed_inside_an_epoch_equals_uninterrupted(multi_scale, monkeypatch):
    out, whole = multi_scale.parent / "out", multi_scale.parent / "whole"
    changes = ["Global.update_freq=3"]
    said = train(multi_scale, *changes, "Global.output_dir=whole").stderr
    assert "Global.image_shape" not in said  # the sizes are meant to differ from it
    with monkeypatch.context() as patched:
        interrupt(patched, 12)
        train(multi_scale, *changes, code=130)
    assert json.loads((out / "latest.pdstates").read_text())["batch"] > 0
    train(multi_scale, *changes, "DataLoader.Train.loader.num_workers=2", *resume_from_latest(out))
    assert digests(out) == digests(whole)
    assert records(out) == records(whole)


def test_progressive_training_says_its_stages_and_resumes(progressive, monkeypatch):
    out, whole = progressive.parent / "out", progressive.parent / "whole"
    said = train(progressive, "Global.output_dir=whole").stderr
    for number, side in enumerate((8, 12, 16, 20), 1):
        assert f"stage {number} of 4: images of {side} x {side}" in said
    with monkeypatch.context() as patched:
        interrupt(patched, 20)  # of 8 batches an epoch: in the third stage
        train(progressive, code=130)
    assert "stage 3 of 4" in train(progressive, *resume_from_latest(out)).stderr
    assert digests(out) == digests(whole)


def test_commands_show_data_of_several_sizes(multi_scale, run, tmp_path):
    run("show-data", "-c", multi_scale, "--out", tmp_path / "sheet.png", "-n", "40")
    assert (tmp_path / "sheet.png").stat().st_size > 0
    run("schedule", "-c", multi_scale, "--out", tmp_path / "schedule.png")
    run("check-data", "-c", multi_scale, "--out", tmp_path / "checked")
    assert "first_bs" in run("config", "-c", multi_scale).stdout


def test_lr_scaling_takes_the_first_batch_size(multi_scale):
    said = train(multi_scale, "Optimizer.lr_scaling={base_batch_size: 4}", "Global.epochs=1").stderr
    assert "for a global batch of 8, scaled from 0.01 for 4 (linear)" in said


def test_evaluation_keeps_its_size(multi_scale, run):
    train(multi_scale, "Global.epochs=1")
    done = run("eval", "-c", multi_scale, "-o", "Global.pretrained_model=out/best_model")
    assert json.loads(done.stdout)["top1"] == pytest.approx(records(multi_scale.parent / "out")[-1]["top1"])


GMLP = "Arch={name: gMLP, class_num: 10, dim: 16, depth: 2, image_size: 16, patch_size: 4}"


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("multi_scale", [GMLP], "DataLoader.Train.sampler.scales: makes images of 8 x 8, but gMLP is built for 16 x"),
        ("progressive", [GMLP], "RandCropImage.progress_size: makes images of 8 x 8, but gMLP is built for 16 x 16"),
        ("progressive", ["Global.train_mode=null"], "have no effect without Global.train_mode: progressive"),
        ("progressive", ["Global.train_mode=fixmatch"], "Global.train_mode: 'fixmatch': it belongs to semi-supervised"),
        ("progressive", ["Global.train_mode=fast"], "Global.train_mode: must be"),
        ("progressive", ["Global.epochs=null"], "Global.epochs"),
        ("multi_scale", ["Global.to_static=true"], "Global.to_static: a static graph takes images of one size"),
        ("multi_scale", ["Global.train_mode=progressive"], "progressive needs RandCropImage.progress_size or RandAug"),
        (
            "progressive",
            ["DataLoader.Eval.dataset.transform_ops.0={RandCropImage: {size: 16, progress_size: [8, 16]}}"],
            "DataLoader.Eval.dataset.transform_ops.0.RandCropImage: progress_* is for training",
        ),
        (
            "multi_scale",
            ["DataLoader.Eval.sampler={name: MultiScaleSampler, scales: [16], first_bs: 8, divided_factor: 8}"],
            "DataLoader.Eval: sampler: MultiScaleSampler is for training",
        ),
    ],
)
def test_mistakes_end_with_code_2_before_training(request, run, kind, changes, message):
    done = run("train", "-c", request.getfixturevalue(kind), "-o", *changes, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr and "[Train]" not in done.stderr


def test_one_size_suits_a_model_of_that_size(multi_scale):
    done = train(multi_scale, GMLP, "DataLoader.Train.sampler.scales=[16]", "Global.epochs=1")
    assert "[Eval][Epoch 1][best metric: " in done.stderr
