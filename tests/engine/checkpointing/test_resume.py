"""A run that was interrupted, killed or ended goes on as if nothing had happened, or says why it does not."""

import json
import random
import re
import signal
import time

import pytest

import ppcls
from ppcls.engine.checkpointing import file_set
from ppcls.engine.checkpointing.resume import changes_since
from ppcls.utils import atomic
from ppcls.utils.digests import sha256
from tests.helpers.forks import run_fork
from tests.helpers.recipes import write_recipe
from tests.helpers.runs import (
    LONG,
    digests,
    finish,
    flip_bit,
    interrupt_evaluation,
    records,
    resume_from_latest,
    start,
    train,
    wait_for_save,
)


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    """Return the folder of a run of the LONG recipe that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(write_recipe(digits, folder), *LONG)
    return folder / "out"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_inside_an_epoch_and_resumed_equals_uninterrupted(recipe, uninterrupted, number):
    process = start(recipe, *LONG)
    metrics = recipe.parent / "out" / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.02)
    process.send_signal(number)
    code, err = finish(process)
    assert code == 128 + number
    resume = re.search(r"-o (Global\.checkpoints=\S+latest)", err).group(1)
    train(recipe, *LONG, resume)
    assert digests(recipe.parent / "out") == digests(uninterrupted)
    assert records(recipe.parent / "out") == records(uninterrupted)


def test_killed_at_random_moments_and_resumed_equals_uninterrupted(recipe, uninterrupted):
    """kill -9, three times, anywhere: also while a checkpoint is being written."""
    chance = random.Random(0)
    out = recipe.parent / "out"
    killed = []
    for _ in range(3):
        process = start(recipe, *LONG, *resume_from_latest(out))
        for _ in range(chance.randint(1, 4)):  # of 20 checkpoints
            wait_for_save(process, out)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        killed.append(finish(process)[0])
        if killed[-1] == 0:  # a loaded machine saves less often: it was through before the last kill
            break
    assert killed[0] == -signal.SIGKILL
    assert set(killed) <= {-signal.SIGKILL, 0}
    train(recipe, *LONG, *resume_from_latest(out))
    assert digests(out) == digests(uninterrupted)
    assert records(out) == records(uninterrupted)


def test_resuming_a_finished_run_changes_nothing(recipe, run):
    run("train", "-c", recipe)
    out = recipe.parent / "out"
    before = digests(out)
    done = run("train", "-c", recipe, "-o", f"Global.checkpoints={out}/latest.pdparams")
    assert "training is done" in done.stderr
    assert digests(out) == before
    assert not list(out.glob("*.tmp"))


def test_other_frozen_parts_need_a_new_run(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Global.freeze=[stem]")
    position = f"Global.checkpoints={recipe.parent}/out/latest"
    done = run("train", "-c", recipe, "-o", position, "Global.freeze=[blocks.0]", code=2)
    assert "-o Global.freeze=[blocks.0]: Global.freeze was ['stem'] when" in done.stderr
    assert "Global.pretrained_model=" in done.stderr


def test_resuming_says_what_changed_in_the_recipe(recipe, run):
    run("train", "-c", recipe)
    changes = ("Global.epochs=3", "Optimizer.weight_decay=0.5", f"Global.checkpoints={recipe.parent}/out/latest")
    done = run("train", "-c", recipe, "-o", *changes)
    assert "Optimizer.weight_decay was 0.01 when this run was saved, and is 0.5 now" in done.stderr
    assert "Global.epochs was 2" in done.stderr


def test_the_best_metric_survives_resuming(recipe, run):
    run("train", "-c", recipe)
    out = recipe.parent / "out"
    states = json.loads((out / "latest.pdstates").read_text())
    states["best"].update(value=1.0, epoch=1)  # nothing later can beat it
    states["digest"] = file_set.states_digest(states)
    atomic.write_text(out / "latest.pdstates", json.dumps(states))
    best = sha256(out / "best_model.pdparams")
    run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/latest")
    assert sha256(out / "best_model.pdparams") == best
    assert "[Eval][Epoch 3][best metric: 1.00000]" in (out / "train.log").read_text()


def test_a_damaged_checkpoint_is_not_resumed(recipe, run):
    run("train", "-c", recipe)
    weights = recipe.parent / "out" / "latest.pdparams"
    flip_bit(weights)
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", code=2)
    assert "latest.pdparams: damaged" in done.stderr
    run("train", "-c", recipe, "-o", "Global.checkpoints=out/epoch_2")


def test_a_checkpoint_of_another_model_is_refused(recipe, run):
    run("train", "-c", recipe)
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", "Arch.dim=24", code=2)
    assert "stem.conv.weight" in done.stderr
    twelve = ("Global.pretrained_model=out/latest", "Arch.class_num=12", "Global.allow_unused_classes=true")
    done = run("train", "-c", recipe, "-o", *twelve, code=2)
    assert "head.weight" in done.stderr
    assert "drop_mismatched_head" in done.stderr
    done = run(
        *("train", "-c", recipe, "-o", *twelve),
        *("Global.drop_mismatched_head=true", "Global.output_dir=other"),
    )
    assert "head" in done.stderr


def test_killed_between_latest_and_best_model_loses_neither(recipe, uninterrupted):
    """The process dies at each call that makes best_model and epoch_N of latest."""
    code = """
import os, sys
from ppcls import load_config, train
from ppcls.engine.checkpointing import checkpoint
calls, link = [0], checkpoint.link_checkpoint
def dying(*arguments):
    calls[0] += 1
    os._exit(9) if calls[0] == int(sys.argv[2]) else link(*arguments)
checkpoint.link_checkpoint = dying
train(load_config(sys.argv[1], sys.argv[3:]))
"""
    out = recipe.parent / "out"
    for die_at in (1, 2, 3):
        run_fork(recipe, die_at, *LONG, *resume_from_latest(out), cwd=recipe.parent, program=code, code=9)
    train(recipe, *LONG, *resume_from_latest(out))
    assert digests(out) == digests(uninterrupted)
    assert {p.name for p in out.glob("epoch_*")} == {p.name for p in uninterrupted.glob("epoch_*")}


def test_a_position_inside_an_epoch_needs_the_same_batches(recipe, run):
    process = start(recipe, *LONG)
    out = recipe.parent / "out"
    wait_for_save(process, out)
    process.send_signal(signal.SIGINT)
    assert finish(process)[0] == 130
    states = json.loads((out / "latest.pdstates").read_text())
    changes = (*LONG, f"Global.checkpoints={out}/latest", "DataLoader.Train.sampler.batch_size=60")
    done = run("train", "-c", recipe, "-o", *changes, code=2 if states["batch"] else 0)
    if states["batch"]:
        assert "has other batches now" in done.stderr
        assert "'batch_size': 16" in done.stderr


def test_another_first_metric_chooses_the_best_model_anew(recipe, run):
    run("train", "-c", recipe)
    changes = ("Global.epochs=3", "Metric.Eval.0.TopkAcc.topk=[5]", "Global.checkpoints=out/latest")
    done = run("train", "-c", recipe, "-o", *changes)
    assert "was chosen by top1, and is chosen by top5 from now on" in done.stderr


@pytest.mark.parametrize("content", ['{"format": 1}', "{", "[]", ""])
def test_damaged_states_are_refused(recipe, run, content):
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    (recipe.parent / "out" / "latest.pdstates").write_text(content)
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", code=2)
    assert "latest.pdstates" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupted_during_an_evaluation_and_resumed_equals_uninterrupted(recipe, uninterrupted, monkeypatch):
    """The signal arrives while the second evaluation runs."""
    out = recipe.parent / "out"
    with monkeypatch.context() as patched:
        interrupt_evaluation(patched, 2)
        train(recipe, *LONG, code=130)
    states = json.loads((out / "latest.pdstates").read_text())
    assert (states["epoch"], states["batch"]) == (1, 8)  # all batches of the second epoch, which is not over
    train(recipe, *LONG, "DataLoader.Train.loader.num_workers=1", *resume_from_latest(out))
    assert digests(out) == digests(uninterrupted)
    assert records(out) == records(uninterrupted)


@pytest.mark.parametrize(("size", "changed"), [(224, []), (64, ["DataLoader.Train.dataset.transform_ops"])])
def test_an_augmentation_size_that_earlier_versions_left_to_its_default(recipe, size, changed):
    ops = [{"ResizeImage": {"size": size}}, {"TimmAutoAugment": {"prob": 0.5}}]
    config = ppcls.load_config(recipe, {"DataLoader.Train.dataset.transform_ops": ops})
    assert config.DataLoader.Train.dataset.transform_ops[1] == {"TimmAutoAugment": {"prob": 0.5, "img_size": size}}
    earlier = config.plain()
    earlier["DataLoader"]["Train"]["dataset"]["transform_ops"] = ops
    assert [key for key, _, _ in changes_since({"config": earlier}, config)] == changed
