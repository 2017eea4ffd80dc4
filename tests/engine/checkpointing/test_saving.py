"""Checkpoints written in the background, and continued from automatically."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import paddle
import pytest

from ppcls.data.datasets.base import Dataset
from ppcls.data.loader import DataLoader
from ppcls.data.samplers import DistributedBatchSampler
from ppcls.engine.amp import MixedPrecision
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.checkpointing.saver import BackgroundWriter, Saver
from ppcls.engine.components import load_config
from ppcls.engine.state import Best, TrainState
from ppcls.errors import CheckpointError
from ppcls.optimizer import build_schedule
from ppcls.utils import atomic
from tests.helpers.recipes import ROOT, write_recipe
from tests.helpers.runs import LONG, digests, finish, limit_file_size, records, saves, start


@pytest.fixture
def state():
    """Return the state of a small model after one update."""
    model = paddle.nn.Linear(64, 64)
    optimizer = paddle.optimizer.AdamW(0.1, parameters=model.parameters())
    schedule = build_schedule({"name": "ConstLR", "learning_rate": 0.1}, epochs=1, steps_per_epoch=1)
    made = TrainState(
        model, optimizer, Best("top1"), {}, MixedPrecision(None, model, optimizer), schedule, epoch=1, step=1
    )
    made.sums = {"losses": {"loss": 1.0}}
    update(made)
    return made


def update(state):
    state.model(paddle.ones([2, 64])).sum().backward()
    state.optimizer.step()
    state.optimizer.clear_grad()


def weights(prefix):
    return paddle.load(f"{prefix}.pdparams", return_numpy=True)["weight"]


# -- the copy and the thread -------------------------------------------------------------------------------------


def test_a_snapshot_is_not_changed_by_training(state, recipe, tmp_path):
    config = load_config(recipe)
    before = state.model.weight.numpy().copy()
    copied = checkpoint.snapshot(state, config, {"Counter": {"steps": 5}})
    update(state)
    state.sums["losses"]["loss"] = 2.0
    state.history.append({"top1": 1.0})
    state.best.value = 0.5
    assert not np.array_equal(state.model.weight.numpy(), before)
    checkpoint.write(copied, tmp_path / "latest")
    assert np.array_equal(weights(tmp_path / "latest"), before)
    states = checkpoint.read_states(tmp_path / "latest")
    assert (states["sums"], states["history"], states["best"]["value"]) == ({"losses": {"loss": 1.0}}, [], None)
    assert states["callbacks"] == {"Counter": {"steps": 5}}
    assert {"ppcls", "paddle", "numpy", "python"} <= states.keys()


def save_if_due(saver, state):
    """Do what training does after every update and batch of an evaluation."""
    error, due = saver.poll(state.step)
    if error is not None:
        raise error
    if due:
        saver.save(state, {})


def test_a_save_inside_an_epoch_is_put_off_while_one_is_written_and_others_wait(state, recipe, tmp_path, monkeypatch):
    """The first write does not begin before the gate opens."""
    saver = Saver(tmp_path, load_config(recipe, ["Global.save_every_minutes=0", "Global.save_interval=2"]))
    gate, steps, real = threading.Event(), [], atomic.write_set

    def slow(prefix, writers, states):
        gate.wait()
        steps.append(states["step"])
        real(prefix, writers, states)

    monkeypatch.setattr(atomic, "write_set", slow)
    state.step = 1
    save_if_due(saver, state)
    state.step = 2
    save_if_due(saver, state)  # returns at once, and saves nothing
    assert steps == []
    threading.Timer(0.1, gate.set).start()
    state.step = 3
    saver.save_latest(state, {})
    assert steps == [1, 3]
    state.epoch = state.best.epoch = 2
    saver.save_epoch(state, {})
    saver.wait()
    assert {path.stem for path in tmp_path.glob("*.pdstates")} == {"latest", "best_model", "epoch_2"}


def test_save_every_steps(state, recipe, tmp_path):
    changes = ["Global.save_every_minutes=null", "Global.save_every_steps=3"]
    saver, saved = Saver(tmp_path, load_config(recipe, changes)), []
    for state.step in range(1, 11):
        for _ in range(2):  # an evaluation asks after each of its batches
            save_if_due(saver, state)
            saver.wait()
        prefix = tmp_path / "latest"
        saved.append(checkpoint.read_states(prefix)["step"] if checkpoint.exists(prefix) else None)
    assert saved == [None, None, 3, 3, 3, 6, 6, 6, 9, 9]


def test_an_error_of_the_writer_comes_up_at_the_next_opportunity(state, recipe, tmp_path):
    saver = Saver(tmp_path / "gone", load_config(recipe, ["Global.save_every_minutes=null"]))
    saver.save_epoch(state, {})
    saver._writer._thread.join()
    with pytest.raises(CheckpointError, match=r"cannot write the checkpoint .*No such file or directory"):
        save_if_due(saver, state)
    saver.wait()  # said once


def test_leaving_waits_and_another_error_is_not_hidden(state, recipe, tmp_path, caplog):
    config = load_config(recipe)
    with Saver(tmp_path, config) as saver:
        saver.save_epoch(state, {})
    assert checkpoint.fault(tmp_path / "latest") is None
    with pytest.raises(CheckpointError), Saver(tmp_path / "gone", config) as saver:
        saver.save_epoch(state, {})
    with pytest.raises(ZeroDivisionError), Saver(tmp_path / "gone", config) as saver:
        saver.save_epoch(state, {})
        raise ZeroDivisionError
    assert "cannot write the checkpoint" in caplog.text


def test_an_interrupt_that_asks_for_haste_does_not_wait(state, recipe, tmp_path, monkeypatch):
    gate, real = threading.Event(), atomic.write_set
    monkeypatch.setattr(atomic, "write_set", lambda *arguments: (gate.wait(), real(*arguments)))
    with pytest.raises(KeyboardInterrupt), Saver(tmp_path, load_config(recipe)) as saver:
        saver.save_epoch(state, {})
        raise KeyboardInterrupt
    assert saver._writer.busy
    gate.set()
    saver.wait()


class Squares(Dataset):
    """Pictures that need no files."""

    def __init__(self):
        super().__init__(np.zeros(32, np.int64), None, "error")

    def read(self, index):
        return np.full((3, 2, 2), index, np.float32)

    def describe(self, index):
        return str(index)


FORKS = """
    import sys, threading
    from pathlib import Path
    from ppcls.engine.checkpointing.saver import BackgroundWriter
    from tests.engine.test_saving import forked_epoch, written_forever
    stop, writer = threading.Event(), BackgroundWriter()
    writer.start(lambda: written_forever(Path(sys.argv[1]), stop))
    print(sum(forked_epoch(workers=2) for _ in range(40)))
    stop.set()
    writer.wait()
"""


def written_forever(folder, stop):
    """Write, digest and log as a checkpoint does, without a pause."""
    from ppcls.utils.logging import get_logger

    arrays = {"w": np.ones(100_000, np.float32)}
    while not stop.is_set():
        atomic.write_set(folder / "latest", {".pdparams": lambda path: checkpoint._dump(arrays, path)}, {})
        get_logger().error("written")


def forked_epoch(workers):
    """Start workers, take what they make, end them; return the sum of the pictures' first numbers."""
    sampler = DistributedBatchSampler(length=32, batch_size=8, seed=0)
    with DataLoader(Squares(), lambda image, rng: image, sampler, seed=0, num_workers=workers, train=True) as loader:
        return sum(float(batch.images[:, 0, 0, 0].sum()) for batch in loader.epoch(0))


def test_workers_are_forked_while_the_writer_writes(tmp_path):
    """80 processes are forked at moments at which the thread holds whatever locks it uses; none of them may hang."""
    script = tmp_path / "forks.py"
    script.write_text("\n".join(line[4:] for line in FORKS.splitlines()))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) == 40 * sum(range(32))


def test_the_writer_runs_one_job_at_a_time():
    writer, running, most = BackgroundWriter(), [], []

    def job():
        running.append(1)
        most.append(len(running))
        running.pop()

    for _ in range(50):
        writer.start(job)
    writer.wait()
    assert most == [1] * 50


# -- a full disk, and Global.checkpoints=auto --------------------------------------------------------------------


def test_a_full_disk_ends_the_run_with_auto_too(recipe, run):
    changes = ("Arch.dim=64", "Global.checkpoints=auto", "Global.print_batch_step=1000")
    run("train", "-c", recipe, "-o", *changes)
    out = recipe.parent / "out"
    before = digests(out)
    size = (out / "latest.pdparams").stat().st_size - 1
    more = (*changes, "Global.epochs=4")
    done = run("train", "-c", recipe, "-o", *more, code=2, process=True, preexec=limit_file_size(size))
    assert "cannot write the checkpoint" in done.stderr
    assert "make room, then resume with the same command" in done.stderr
    assert "Traceback" not in done.stderr
    assert digests(out) == before
    run("train", "-c", recipe, "-o", *more)


@pytest.fixture(scope="module")
def auto(digits, tmp_path_factory):
    """Return a run of 4 epochs: its recipe, its folder and the arguments that made it."""
    recipe = write_recipe(digits, tmp_path_factory.mktemp("auto"))
    changes = [*LONG, "Global.checkpoints=auto"]
    code, err = finish(start(recipe, *changes))
    assert code == 0, err
    return recipe, recipe.parent / "out", changes


@pytest.fixture
def copied(auto, tmp_path):
    """Return the run's recipe, a copy of its folder and the arguments that continue it there."""
    recipe, out, changes = auto
    shutil.copytree(out, tmp_path / "copy")
    return recipe, tmp_path / "copy", [*changes, f"Global.output_dir={tmp_path}/copy"]


def test_auto_starts_and_continues_by_the_same_command(recipe, auto, run):
    out = recipe.parent / "out"
    for lines in (1, 6):
        process = start(recipe, *auto[2])
        while process.poll() is None and not (saves(out) and len(records(out)) >= lines):
            time.sleep(0.002)
        process.kill()
        assert finish(process)[0] == -9
    code, err = finish(start(recipe, *auto[2]))
    assert code == 0, err
    assert "resuming from" in err
    assert digests(out) == digests(auto[1])
    assert records(out) == records(auto[1])
    assert not (out / "previous_1").exists()
    assert "training is done" in run("train", "-c", recipe, "-o", *auto[2]).stderr


def test_auto_refuses_a_run_by_another_recipe(copied, run):
    recipe, out, changes = copied
    before = digests(out)
    others = ("Optimizer.lr.learning_rate=0.5", "DataLoader.Train.dataset.transform_ops.1.Pad.padding=1")
    done = run("train", "-c", recipe, "-o", *changes, *others, "Global.epochs=5", code=2)
    assert f"{out} holds a run by another recipe:" in done.stderr
    assert "\n  Optimizer.lr.learning_rate was 0.01 and is 0.5 (-o Optimizer.lr.learning_rate=0.5)\n" in done.stderr
    assert "DataLoader.Train.dataset.transform_ops was" in done.stderr
    assert "Global.epochs was" not in done.stderr
    assert "Take that back to continue the run, choose another Global.output_dir, or move" in done.stderr
    assert digests(out) == before
    controls = ("Global.print_batch_step=3", "DataLoader.Train.loader.num_workers=1", "Global.save_interval=0")
    run("train", "-c", recipe, "-o", *changes, *controls)


def test_a_run_of_a_version_that_did_not_know_a_setting_continues_where_nobody_sets_it(copied, run):
    recipe, out, changes = copied
    for path in out.glob("*.pdstates"):
        states = json.loads(path.read_text())
        del states["config"]["Global"]["freeze"], states["config"]["Arch"]["use_sync_bn"]
        states[atomic.DIGEST] = atomic.states_digest(states)
        path.unlink()  # it shares its content with others
        path.write_text(json.dumps(states))
    done = run("train", "-c", recipe, "-o", *changes, "Global.freeze=[stem]", code=2)
    assert "another recipe:\n  Global.freeze was None and is ['stem'] (-o Global.freeze=[stem])\nTake" in done.stderr
    done = run("train", "-c", recipe, "-o", *changes)
    assert "resuming from" in done.stderr or "training is done" in done.stderr
    assert "when this run was saved" not in done.stderr


def damage(path):
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.unlink()  # it shares its content with others
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["latest.pdparams", "latest.pdopt", "latest.pdstates"])
def test_auto_uses_the_newest_whole_checkpoint_and_says_so(copied, auto, run, name):
    recipe, out, changes = copied
    damage(out / name)
    (out / "epoch_4.pdopt").unlink()
    damage(out / "best_model.pdparams")
    done = run("train", "-c", recipe, "-o", *changes)
    assert re.search(
        rf"{re.escape(str(out / name))}: damaged.*; continuing from {out}/epoch_\d, the newest", done.stderr
    )
    assert f"{out}/epoch_4.pdopt: missing; continuing from {out}/epoch_" in done.stderr
    assert digests(out) == digests(auto[1])
    assert records(out) == records(auto[1])


def test_auto_does_not_start_again_where_all_is_damaged(copied, run):
    recipe, out, changes = copied
    for path in out.glob("*.pdopt"):
        path.write_bytes(b"")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert f"no checkpoint in {out} is whole: " in done.stderr
    assert "To start again, move" in done.stderr


def test_a_damaged_checkpoint_named_by_the_user_is_an_error_that_names_whole_ones(copied, run):
    recipe, out, changes = copied
    for name in ("latest.pdopt", "epoch_3.pdparams", "best_model.pdstates"):
        damage(out / name)
    done = run("train", "-c", recipe, "-o", *changes, f"Global.checkpoints={out}/latest", code=2)
    assert f"{out}/latest.pdopt: damaged; whole checkpoints there: {out}/epoch_4, {out}/epoch_2\n" in done.stderr


def test_auto_knows_the_weights_that_the_run_began_with(recipe, auto, run, tmp_path):
    weights = tmp_path / "w.pdparams"
    weights.write_bytes((auto[1] / "best_model.pdparams").read_bytes())
    changes = ("Global.checkpoints=auto", f"Global.pretrained_model={weights}")
    run("train", "-c", recipe, "-o", *changes)
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["start"]["weights"] == str(weights)
    weights.rename(tmp_path / "moved.pdparams")
    moved = ("Global.checkpoints=auto", f"Global.pretrained_model={tmp_path}/moved")
    assert "training is done" in run("train", "-c", recipe, "-o", *moved).stderr
    assert "training is done" in run("train", "-c", recipe, "-o", *changes).stderr, "they are not needed any more"
    (tmp_path / "moved.pdparams").write_bytes((auto[1] / "epoch_2.pdparams").read_bytes())
    done = run("train", "-c", recipe, "-o", *moved, code=2)
    assert f"it began with the weights {weights}, and {tmp_path}/moved (-o {moved[1]}) are others" in done.stderr


def test_evaluation_takes_the_weights_named_beside_auto(auto, run):
    recipe, out, _ = auto
    done = run("eval", "-c", recipe, "-o", "Global.checkpoints=auto", f"Global.pretrained_model={out}/best_model")
    assert f"weights: {out}/best_model" in done.stderr
    done = run("eval", "-c", recipe, "-o", "Global.checkpoints=auto", code=2)
    assert "no weights to evaluate" in done.stderr
