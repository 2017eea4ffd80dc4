"""Checkpoints written in the background, and continued from automatically."""

import pickle
import threading

import numpy as np
import paddle
import pytest

from ppcls.engine.amp import MixedPrecision
from ppcls.engine.checkpointing import checkpoint, file_set
from ppcls.engine.checkpointing.saver import BackgroundWriter, Saver
from ppcls.engine.components import load_config
from ppcls.engine.state import Best, TrainState
from ppcls.errors import CheckpointError
from ppcls.optimizer import build_schedule
from tests.helpers.command_line import run_python


@pytest.fixture
def state():
    """Return the state of a small model after one update."""
    model = paddle.nn.Linear(64, 64)
    optimizer = paddle.optimizer.AdamW(0.1, parameters=model.parameters())
    schedule = build_schedule({"name": "ConstLR", "learning_rate": 0.1}, epochs=1, steps_per_epoch=1)
    made = TrainState(
        model, optimizer, Best("top1"), {}, MixedPrecision(None, model, optimizer), schedule, epoch=1, step=1
    )
    made.epoch_averages = {"losses": {"loss": 1.0}}
    update(made)
    return made


def update(state):
    state.model(paddle.ones([2, 64])).sum().backward()
    state.optimizer.step()
    state.optimizer.clear_grad()


def weights(prefix):
    return paddle.load(f"{prefix}.pdparams", return_numpy=True)["weight"]


def test_a_snapshot_is_not_changed_by_training(state, recipe, tmp_path):
    config = load_config(recipe)
    before = state.model.weight.numpy().copy()
    copied = checkpoint.snapshot(state, config, {"Counter": {"steps": 5}})
    update(state)
    state.epoch_averages["losses"]["loss"] = 2.0
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
    gate, steps, real = threading.Event(), [], file_set.write

    def slow(prefix, writers, states):
        gate.wait()
        steps.append(states["step"])
        real(prefix, writers, states)

    monkeypatch.setattr(file_set, "write", slow)
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
    assert checkpoint.find_damage(tmp_path / "latest") is None
    with pytest.raises(CheckpointError), Saver(tmp_path / "gone", config) as saver:
        saver.save_epoch(state, {})
    with pytest.raises(ZeroDivisionError), Saver(tmp_path / "gone", config) as saver:
        saver.save_epoch(state, {})
        raise ZeroDivisionError
    assert "cannot write the checkpoint" in caplog.text


def test_an_interrupt_that_asks_for_haste_does_not_wait(state, recipe, tmp_path, monkeypatch):
    gate, real = threading.Event(), file_set.write
    monkeypatch.setattr(file_set, "write", lambda *arguments: (gate.wait(), real(*arguments)))
    with pytest.raises(KeyboardInterrupt), Saver(tmp_path, load_config(recipe)) as saver:
        saver.save_epoch(state, {})
        raise KeyboardInterrupt
    assert saver._writer.busy
    gate.set()
    saver.wait()


FORKS = "import sys; from tests.engine.checkpointing import forks; forks.main(sys.argv[1])"


def test_workers_are_forked_while_the_writer_writes(tmp_path):
    """80 processes are forked at moments at which the thread holds whatever locks it uses; none of them may hang."""
    done = run_python(FORKS, tmp_path, timeout=120)
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


def finite(path):
    return all(np.isfinite(array).all() for array in pickle.loads(path.read_bytes()).values())


def test_weights_that_are_not_finite_are_not_saved(recipe, run):
    """One batch is an epoch, so that the ruined weights are saved next, whether or not the writer is still busy."""
    ruin = (
        "Optimizer={name: SGD, lr: {name: Piecewise, decay_epochs: [1], values: [0.01, 3.4e38]}}",
        "Loss.Train=[{CELoss: {weight: 1000}}]",
        "DataLoader.Train.sampler.batch_size=1000",
    )
    assert "not finite" in run("train", "-c", recipe, "-o", *ruin, code=2).stderr
    assert finite(recipe.parent / "out" / "latest.pdparams")
