"""Mixed batches, repeated samples and the losses for them, in training as a real process."""

import json
import signal

import pytest
import yaml

from tests.helpers.runs import digests, finish, records, resume_from_latest, start, train, wait_for_save

# As PaddleClas's recipes have it.
OP_SAMPLER = """
- OpSampler:
    MixupOperator:
      alpha: 0.8
      prob: 0.5
    CutmixOperator:
      alpha: 1.0
      prob: 0.5
"""


@pytest.fixture
def mixing(recipe):
    """Return a recipe with mixed batches and repeated samples."""
    values = yaml.safe_load(recipe.read_text())
    values["DataLoader"]["Train"]["dataset"]["batch_transform_ops"] = yaml.safe_load(OP_SAMPLER)
    values["DataLoader"]["Train"]["sampler"] = {
        "name": "RASampler",
        "batch_size": 16,
        "shuffle": True,
        "num_repeats": 2,
    }
    values["Loss"] = {"Train": [{"CELoss": {"epsilon": 0.1}}], "Eval": [{"CELoss": None}]}
    recipe.write_text(yaml.safe_dump(values))
    return recipe


def test_stopped_inside_an_epoch_and_resumed_equals_uninterrupted(mixing):
    changes = ("Global.epochs=2", "Global.save_every_minutes=0")
    train(mixing, *changes, "Global.output_dir=whole")
    whole, out = mixing.parent / "whole", mixing.parent / "out"
    process = start(mixing, *changes)
    wait_for_save(process, out)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    states = json.loads((out / "latest.pdstates").read_text())
    assert states["batch"] > 0  # in the middle of an epoch
    train(mixing, *changes, "DataLoader.Train.loader.num_workers=2", *resume_from_latest(out))
    assert digests(out) == digests(whole)
    assert records(out) == records(whole)


@pytest.mark.parametrize(
    "loss",
    [
        '[{"BCELoss": {"target_threshold": 0.2, "epsilon": 0.1}}]',
        '[{"SoftTargetCrossEntropy": null}, {"FocalLoss": {"weight": 0.1}}]',
        '[{"CELoss": {"class_weights": "balanced"}}]',
    ],
)
def test_losses_train_on_mixed_and_are_evaluated_on_plain_labels(mixing, run, loss):
    both = [] if "balanced" in loss else [f"Loss.Eval={loss}"]
    run("train", "-c", mixing, "-o", "Global.epochs=1", f"Loss.Train={loss}", *both)
    names = [next(iter(component)) for component in json.loads(loss)]
    assert all(name in records(mixing.parent / "out")[0] for name in names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["DataLoader.Train.dataset.batch_transform_ops.0.OpSampler.MixupOperator.alfa=1"],
            "batch_transform_ops.0.OpSampler.MixupOperator: unknown argument 'alfa'; did you mean",
        ),
        (
            ["DataLoader.Train.dataset.batch_transform_ops.0.OpSampler.CutmixOperator.prob=half"],
            "OpSampler.CutmixOperator.prob: must be a number from 0 to 1, not 'half'",
        ),
        (
            ["DataLoader.Train.dataset.batch_transform_ops.0.OpSampler.CutmixOperator=null"],
            "OpSampler.CutmixOperator: must be a mapping, not null",
        ),
        (
            ["DataLoader.Train.dataset.batch_transform_ops.0.OpSampler.class_num=11"],
            "DataLoader.Train: batch_transform_ops[0].OpSampler: class_num: is 11, but Arch.class_num is 10",
        ),
        (
            ["DataLoader.Eval.dataset.batch_transform_ops=[{MixupOperator: null}]"],
            "DataLoader.Eval: batch_transform_ops: would mix the images of an evaluation",
        ),
        (
            ["DataLoader.Eval.sampler.name=RASampler", "DataLoader.Eval.sampler.shuffle=true"],
            "DataLoader.Eval: sampler: RA",
        ),
        (['Loss.Eval=[{"CELoss": {"class_weights": "balanced"}}]'], "Loss.Eval: CELoss: class_weights: 'balanced'"),
        (['Loss.Train=[{"CELoss": {"class_weights": [1, 2]}}]'], "Loss.Train: CELoss: class_weights: 2 numbers for 10"),
    ],
)
def test_mistakes_end_with_code_2_before_training(mixing, run, changes, message):
    done = run("train", "-c", mixing, "-o", *changes, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "[Train]" not in done.stderr
