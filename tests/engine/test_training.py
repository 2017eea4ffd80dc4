"""Training as a real process on real pictures."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

from ppcls.utils import atomic
from tests.helpers.recipes import ROOT, write_recipe
from tests.helpers.runs import LONG, digests, finish, limit_file_size, records, resuming, saves, start, train


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    """Return the folder of a run of the LONG recipe that nothing disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(write_recipe(digits, folder), *LONG)
    return folder / "out"


def test_a_run_leaves_checkpoints_logs_and_curves(recipe, run):
    run("train", "-c", recipe, "-o", "Global.use_visualdl=true")
    out = recipe.parent / "out"
    names = {p.name for p in out.iterdir()}
    for prefix in ("latest", "best_model", "epoch_1", "epoch_2"):
        assert {f"{prefix}.pdparams", f"{prefix}.pdopt", f"{prefix}.pdstates"} <= names
    assert {"train.log", "metrics.jsonl", "config.yaml", "vdl"} <= names
    assert list((out / "vdl").iterdir())
    log = (out / "train.log").read_text()
    number = r"\d+\.\d+"
    for pattern in (
        rf"\[Train\]\[Epoch 1/2\]\[Iter: 2/8\]lr: {number}, top1: {number}, CELoss: {number}, loss: {number}, "
        rf"batch_cost: {number}s, reader_cost: {number}, ips: {number} images/sec, eta: \d+:\d\d:\d\d",
        rf"\[Train\]\[Epoch 2/2\]\[Avg\]top1: {number}, CELoss: {number}, loss: {number}",
        rf"\[Eval\]\[Epoch 2\]\[Avg\]CELoss: {number}, loss: {number}, top1: {number}, top5: {number}",
        rf"\[Eval\]\[Epoch 2\]\[best metric: {number}\]",
        r"CPU threads: \d+ \(set by the user with OMP_NUM_THREADS\)",
    ):
        assert re.search(pattern, log), pattern
    kinds = [record["kind"] for record in records(out)]
    assert kinds.count("eval") == 2
    assert kinds.count("train") == 8
    states = json.loads((out / "best_model.pdstates").read_text())
    assert states["class_names"] == [f"digit-{i}" for i in range(10)]


def test_the_saved_recipe_gives_the_same_run(recipe, run):
    run("train", "-c", recipe)
    out = recipe.parent / "out"
    first = digests(out)
    run("train", "-c", out / "config.yaml", "-o", "Global.output_dir=again")
    assert digests(recipe.parent / "again") == first


def test_only_the_last_epochs_are_kept(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=4", "Global.keep_checkpoints=2", "Global.eval_during_train=false")
    kept = {p.name.split(".")[0] for p in (recipe.parent / "out").glob("*.pdparams")}
    assert kept == {"latest", "epoch_3", "epoch_4"}


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
        process = start(recipe, *LONG, *resuming(out))
        for _ in range(chance.randint(1, 4)):  # of 20 checkpoints
            seen = saves(out)
            while process.poll() is None and saves(out) == seen:
                time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.1))
        process.kill()
        killed.append(finish(process)[0])
        if killed[-1] == 0:  # a loaded machine saves less often: it was through before the last kill
            break
    assert killed[0] == -signal.SIGKILL
    assert set(killed) <= {-signal.SIGKILL, 0}
    train(recipe, *LONG, *resuming(out))
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
    states["digest"] = atomic.states_digest(states)
    atomic.write_text(out / "latest.pdstates", json.dumps(states))
    best = atomic.sha256(out / "best_model.pdparams")
    run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/latest")
    assert atomic.sha256(out / "best_model.pdparams") == best
    assert "[Eval][Epoch 3][best metric: 1.00000]" in (out / "train.log").read_text()


def test_accumulation_makes_fewer_updates_and_the_last_group_may_be_smaller(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=2", "Global.update_freq=3")
    records_ = [record for record in records(recipe.parent / "out") if record["kind"] == "eval"]
    assert [record["step"] for record in records_] == [3, 6]  # 8 batches: groups of 3, 3 and 2


# -- bad input ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["DataLoader.Train.dataset.cls_label_path=nothing.txt"], "DataLoader.Train: cls_label_path: nothing.txt"),
        (["DataLoader.Train.dataset.image_root=nowhere"], "DataLoader.Train: image_root: nowhere"),
        (["Arch.class_num=3", "Metric.Eval.0.TopkAcc.topk=[1]"], "class_num"),
        (["Arch.class_num=4"], "topk 5"),
        (["Global.output_dir=/dev/null/x"], "Global.output_dir=/dev/null/x: cannot be written to"),
        (["Global.device=gpu"], "Global.device=gpu: not usable here"),
        (["Global.checkpoints=out/nothing"], "checkpoint out/nothing"),
        (["Global.pretrained_model=out/nothing"], "out/nothing"),
        (["AMP.dtype=float8"], "AMP.dtype: must be 'float16' or 'bfloat16'"),
        (["Global.epochs=null"], "Global.epochs: missing"),
        (["Optimizer=null"], "Optimizer: missing"),
        (["DataLoader.Eval=null"], "DataLoader.Eval: missing"),
        (["DataLoader.Train=null"], "DataLoader.Train: missing"),
        (["Arch.patch_size=64"], "patch"),
    ],
)
def test_bad_recipes_end_with_code_2_before_training(recipe, run, changes, message):
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "[Train]" not in done.stderr


def test_debug_shows_the_traceback(recipe, run):
    done = run("train", "-c", recipe, "--debug", "-o", "Global.epochs=null", code=1)
    assert "Traceback" in done.stderr


def test_a_loss_that_is_not_finite_stops_the_run(recipe, run):
    changes = ("Optimizer.lr.learning_rate=1e30", "Optimizer.name=SGD", "Global.print_batch_step=1")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert re.search(r"the loss is (nan|inf) at epoch \d, batch \d+/8", done.stderr)
    assert "Optimizer.clip_norm" in done.stderr
    assert not (recipe.parent / "out" / "latest.pdparams").exists()


def test_a_checkpoint_that_cannot_be_written_keeps_the_last_one(recipe, run):
    run("train", "-c", recipe, "-o", "Arch.dim=64", "Global.print_batch_step=1000")
    out = recipe.parent / "out"
    before = digests(out)
    size = (out / "latest.pdparams").stat().st_size - 1
    assert size > max((out / name).stat().st_size for name in ("train.log", "config.yaml", "latest.pdstates"))
    changes = ("Arch.dim=64", "Global.epochs=4", f"Global.checkpoints={out}/latest", "Global.print_batch_step=1000")
    done = run("train", "-c", recipe, "-o", *changes, code=2, process=True, preexec=limit_file_size(size))
    assert "cannot write the checkpoint" in done.stderr
    assert f"resume with the same command and -o Global.checkpoints={out}/latest" in done.stderr
    assert digests(out) == before
    run("train", "-c", recipe, "-o", *changes)


def test_a_damaged_checkpoint_is_not_resumed(recipe, run):
    run("train", "-c", recipe)
    weights = recipe.parent / "out" / "latest.pdparams"
    content = bytearray(weights.read_bytes())
    content[-20] ^= 1
    weights.unlink()  # it shares its content with epoch_2
    weights.write_bytes(content)
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", code=2)
    assert "latest.pdparams: damaged" in done.stderr
    run("train", "-c", recipe, "-o", "Global.checkpoints=out/epoch_2")


def test_a_checkpoint_of_another_model_is_refused(recipe, run):
    run("train", "-c", recipe)
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", "Arch.dim=24", code=2)
    assert "stem.conv.weight" in done.stderr
    done = run("train", "-c", recipe, "-o", "Global.pretrained_model=out/latest", "Arch.class_num=12", code=2)
    assert "head.weight" in done.stderr
    assert "drop_mismatched_head" in done.stderr
    done = run(
        *("train", "-c", recipe, "-o", "Global.pretrained_model=out/latest", "Arch.class_num=12"),
        *("Global.drop_mismatched_head=true", "Global.output_dir=other"),
    )
    assert "head" in done.stderr


# -- a folder, a recipe and a data set that changed --------------------------------------------------------------


def test_killed_between_latest_and_best_model_loses_neither(recipe, uninterrupted):
    """The process dies at each call that makes best_model and epoch_N of latest."""
    code = (
        "import os, sys; from ppcls import load_config, train; from ppcls.engine.checkpointing import checkpoint\n"
        "calls, real = [0], checkpoint.alias\n"
        "def alias(*a):\n"
        "    calls[0] += 1\n"
        "    os._exit(9) if calls[0] == int(sys.argv[2]) else real(*a)\n"
        "checkpoint.alias = alias\n"
        "train(load_config(sys.argv[1], sys.argv[3:]))\n"
    )
    out = recipe.parent / "out"
    for die_at in (1, 2, 3):
        command = [sys.executable, "-c", code, str(recipe), str(die_at), *LONG, *resuming(out)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 9
    train(recipe, *LONG, *resuming(out))
    assert digests(out) == digests(uninterrupted)
    assert {p.name for p in out.glob("epoch_*")} == {p.name for p in uninterrupted.glob("epoch_*")}


def test_a_new_run_in_a_used_folder_keeps_the_old_one(recipe, run):
    run("train", "-c", recipe)
    out = recipe.parent / "out"
    before, lines = digests(out), records(out)
    (out / "notes.txt").write_text("mine")
    run("export", out)
    weights = f"Global.pretrained_model={out}/best_model"
    done = run("train", "-c", recipe, "-o", "Global.epochs=1", weights)
    assert "held another run" in done.stderr
    assert digests(out / "previous_1") == before
    assert records(out / "previous_1") == lines
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "previous_1" / "inference" / "inference.yml").exists()
    assert not (out / "inference").exists()  # of weights that are not there any more
    assert not (out / "epoch_2.pdparams").exists()
    run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/previous_1/latest")
    assert (out / "previous_2").is_dir()


def test_a_folder_takes_one_run_at_a_time(recipe, run):
    out = recipe.parent / "out"
    first = start(recipe, "Global.epochs=200", "Global.save_every_steps=1")
    while first.poll() is None and not saves(out):
        time.sleep(0.01)
    for position in ("Global.checkpoints=auto", "Global.seed=1"):
        done = run("train", "-c", recipe, "-o", "Global.epochs=200", position, code=2)
        assert f"process {first.pid} on " in done.stderr
        assert "is training in this folder" in done.stderr
    assert not list(out.glob("previous_*"))
    first.kill()
    first.communicate()
    # At once, although its data workers may outlive it for a moment.
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Global.checkpoints=auto")


def test_a_position_inside_an_epoch_needs_the_same_batches(recipe, run):
    process = start(recipe, *LONG)
    out = recipe.parent / "out"
    while process.poll() is None and not saves(out):
        time.sleep(0.01)
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


def test_a_warm_up_longer_than_the_run_is_shortened_and_said(recipe, run):
    done = run("train", "-c", recipe, "-o", "Global.epochs=1", "Optimizer.lr.warmup_epoch=5")
    assert "warmup_epoch is 5, but Global.epochs is 1" in done.stderr
    assert json.loads(done.stdout)["epoch"] == 1


def test_names_that_spare_nothing_from_decay_are_said(recipe, run):
    name = "Optimizer.no_weight_decay_name=head.bias pos_embed"
    done = run("train", "-c", recipe, "-o", "Global.epochs=1", name)
    assert "no parameter has 'pos_embed' in its name" in done.stderr
    assert "'head.bias'" not in done.stderr


@pytest.mark.parametrize("size", [1000, 2500])
def test_a_full_disk_outside_checkpoints_is_said(recipe, run, size):
    done = run(
        "train", "-c", recipe, "-o", "Global.print_batch_step=1", code=2, process=True, preexec=limit_file_size(size)
    )
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_interrupted_during_an_evaluation_and_resumed_equals_uninterrupted(recipe, uninterrupted):
    """The signal arrives while the second evaluation runs."""
    code = (
        "import os, signal, sys; from ppcls import load_config, train; from ppcls.engine import evaluation\n"
        "from ppcls.engine.signals import InterruptedRunError\n"
        "calls, real = [0], evaluation.evaluate_model\n"
        "def evaluate_model(*args, **kwargs):\n"
        "    calls[0] += 1\n"
        "    if calls[0] == 2: os.kill(os.getpid(), signal.SIGINT)\n"
        "    return real(*args, **kwargs)\n"
        "evaluation.evaluate_model = evaluate_model\n"
        "try: train(load_config(sys.argv[1], sys.argv[2:]))\n"
        "except InterruptedRunError as error: sys.exit(error.exit_code)\n"
    )
    out = recipe.parent / "out"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, str(recipe), *LONG]
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 130
    states = json.loads((out / "latest.pdstates").read_text())
    assert (states["epoch"], states["batch"]) == (1, 8)  # all batches of the second epoch, which is not over
    code, err = finish(start(recipe, *LONG, "DataLoader.Train.loader.num_workers=1", *resuming(out)))
    assert code == 0, err
    assert digests(out) == digests(uninterrupted)
    assert records(out) == records(uninterrupted)
