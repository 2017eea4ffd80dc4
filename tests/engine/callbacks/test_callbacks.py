"""Callbacks of the user's: when they are called, what they keep, and what happens when they fail."""

import json
import logging

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.engine import loop, stages
from ppcls.engine.callbacks import CALLBACKS, Callback
from ppcls.engine.callbacks.runner import CallbackRunner
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.setup import Supplied, open_run
from ppcls.engine.signals import InterruptedRunError
from ppcls.errors import CallbackError, ConfigError, DataError, TrainingError
from ppcls.loss import LOSSES


class Recorder(Callback):
    """Notes every call with the position of the run."""

    def __init__(self):
        self.calls = []

    def note(self, hook, run):
        self.calls.append((hook, run.state.epoch, run.state.batch, run.state.step))

    def on_train_begin(self, run):
        self.note("on_train_begin", run)

    def on_step(self, run):
        assert len(run.batch.labels)
        self.note("on_step", run)

    def on_epoch(self, run):
        self.note("on_epoch", run)

    def on_eval(self, run):
        assert run.evaluation["eval"]["loss"] > 0
        self.note("on_eval", run)

    def on_save(self, run):
        self.note("on_save", run)

    def on_train_end(self, run):
        assert checkpoint.exists(run.run_dir / "latest")
        self.note("on_train_end", run)


class Counter:
    """Inherits nothing, and counts steps over interruptions."""

    def __init__(self):
        self.steps, self.loaded = 0, None

    def on_step(self, run):
        self.steps += 1

    def state_dict(self):
        return {"steps": self.steps}

    def load_state_dict(self, state):
        self.loaded = self.steps = state["steps"]


class Failing:
    """Fails in one method at one epoch."""

    def __init__(self, hook, epoch=2, error=None):
        self.epoch, self.error = epoch, error or ZeroDivisionError("of mine")
        setattr(self, hook, self.fail)

    def fail(self, run):
        if run.epoch_number >= self.epoch:
            raise self.error


def train(recipe, *callbacks, changes=()):
    return stages.train(ppcls.load_config(str(recipe), list(changes)), supplied=Supplied(callbacks=callbacks))


def test_when_callbacks_are_called(recipe):
    recorder = Recorder()
    train(recipe, recorder)
    steps = [[("on_step", epoch, batch, 8 * epoch + batch) for batch in range(1, 9)] for epoch in range(2)]
    assert recorder.calls == [
        ("on_train_begin", 0, 0, 0),
        *steps[0],
        ("on_epoch", 0, 8, 8),
        ("on_eval", 0, 8, 8),
        ("on_save", 1, 0, 8),
        *steps[1],
        ("on_epoch", 1, 8, 16),
        ("on_eval", 1, 8, 16),
        ("on_save", 2, 0, 16),
        ("on_train_end", 2, 0, 16),
    ]


def test_callbacks_are_called_for_each_stage(recipe):
    values = yaml.safe_load(recipe.read_text())
    values["Global"]["epochs"] = 1
    values["Stages"] = [{"name": "first"}, {"name": "second", "override": {"Global.seed": 1}}]
    recipe.write_text(yaml.safe_dump(values))
    recorder = Recorder()
    result = train(recipe, recorder)
    assert [call[0] for call in recorder.calls].count("on_train_begin") == 2
    assert list(result.stages) == ["first", "second"]
    assert result.run_dir == recipe.parent / "out" / "second"


def test_the_state_of_callbacks_is_in_the_checkpoint(recipe):
    train(recipe, Counter(), Counter(), changes=["Global.epochs=1"])
    states = checkpoint.read_states(recipe.parent / "out" / "latest")["callbacks"]
    assert states["Counter"] == states["Counter_2"] == {"steps": 8}
    assert states["MetricsFile"]["bytes"] > 0
    counter = Counter()
    train(recipe, counter, Counter(), changes=["Global.checkpoints=auto"])
    assert (counter.loaded, counter.steps) == (8, 16)


def test_a_state_without_its_callback_is_said(recipe, caplog):
    train(recipe, Counter(), changes=["Global.epochs=1"])
    logging.getLogger("ppcls").propagate = True
    config = ppcls.load_config(str(recipe), ["Global.checkpoints=auto"])
    with open_run(config):
        log = (recipe.parent / "out" / "train.log").read_text()
    assert "the checkpoint has the state of a callback that is not here: Counter" in log


@pytest.mark.parametrize(
    ("hook", "position"),
    [("on_step", (1, 1)), ("on_epoch", (1, 8)), ("on_eval", (2, 0)), ("on_save", (3, 0))],
)
def test_a_callback_that_fails_ends_the_run_and_the_state_is_saved(recipe, hook, position):
    uninterrupted = ppcls.load_config(str(recipe), ["Global.epochs=3", f"Global.output_dir={recipe.parent}/whole"])
    loop.train(uninterrupted)
    changes = ["Global.epochs=3"]
    with pytest.raises(
        CallbackError, match=rf"callback Failing\.{hook}: ZeroDivisionError: of mine \(.*\.py:\d+\)"
    ) as e:
        train(recipe, Failing(hook, epoch=3 if hook == "on_save" else 2), changes=changes)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    states = checkpoint.read_states(recipe.parent / "out" / "latest")
    assert (states["epoch"], states["batch"]) == ((2, 0) if hook == "on_save" else position)
    train(recipe, changes=[*changes, "Global.checkpoints=auto"])
    for name in ("latest.pdparams", "latest.pdopt", "best_model.pdparams"):
        assert (recipe.parent / "out" / name).read_bytes() == (recipe.parent / "whole" / name).read_bytes()
    assert (recipe.parent / "out" / "metrics.jsonl").read_bytes() == (
        recipe.parent / "whole" / "metrics.jsonl"
    ).read_bytes()


def test_where_nothing_was_trained_there_is_nothing_to_save(recipe):
    with pytest.raises(CallbackError, match=r"callback Failing\.on_train_begin"):
        train(recipe, Failing("on_train_begin", epoch=1))
    assert not checkpoint.exists(recipe.parent / "out" / "latest")
    with pytest.raises(CallbackError, match=r"callback Failing\.on_train_end"):
        train(recipe, Failing("on_train_end", epoch=1))
    assert checkpoint.read_states(recipe.parent / "out" / "latest")["epoch"] == 2


def test_an_error_of_a_known_kind_is_the_callbacks_too(recipe):
    message = (
        r"(?s)callback Failing\.on_epoch: wrong value \(.*\)\nThe run is saved, in epoch 1 after batch 8/8; continue"
    )
    with pytest.raises(CallbackError, match=message):
        train(recipe, Failing("on_epoch", epoch=1, error=DataError("wrong value")))
    states = checkpoint.read_states(recipe.parent / "out" / "latest")
    assert (states["epoch"], states["batch"]) == (0, 8)


@pytest.mark.parametrize("state", [{"array": np.zeros(3)}, {"set": {1}}, {1: 2}, {"pair": (1, 2)}, 5])
def test_a_state_that_json_does_not_hold_names_the_callback(recipe, state):
    class Odd:
        def state_dict(self):
            return state

        def load_state_dict(self, state):
            raise AssertionError("nothing was saved")

    with pytest.raises(CallbackError, match=r"callback Odd\.state_dict: TypeError: must return a dict"):
        train(recipe, Odd())


def test_callbacks_of_a_recipe_are_built_from_their_arguments(recipe):
    made = []

    @CALLBACKS.register(name="Noted")
    class Noted:
        def __init__(self, every: int, label: str = "x") -> None:
            made.append((every, label))

        def on_train_end(self, run):
            made.append(run.state.step)

    try:
        changes = ["Callbacks=[{Noted: {every: 2}}]", "Global.epochs=1"]
        train(recipe, changes=changes)
        assert made == [(2, "x"), 8] or made[-2:] == [(2, "x"), 8]  # also built when the recipe is checked
        recorded = yaml.safe_load((recipe.parent / "out" / "config.yaml").read_text())
        assert recorded["Callbacks"] == [{"Noted": {"every": 2}}]
    finally:
        del CALLBACKS._entries["Noted"]


def test_a_signal_from_a_callback_stops_after_the_batch(recipe):
    import os
    import signal

    class Stopping:
        def on_step(self, run):
            if run.state.step == 3:
                os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError, match="stopped in epoch 1 after batch 3/8") as error:
        train(recipe, Stopping())
    assert error.value.exit_code == 130
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["batch"] == 3


def test_a_callback_can_end_training(recipe):
    class Enough:
        def on_epoch(self, run):
            run.stop("enough was learned")

    result = train(recipe, Enough())
    assert result.best["epoch"] == 1
    assert "enough was learned" in (recipe.parent / "out" / "train.log").read_text()


def test_errors_while_closing_are_logged_only(caplog):
    class Stuck:
        def close(self):
            raise OSError("stuck")

    logging.getLogger("ppcls").propagate = True
    CallbackRunner([Stuck()]).close()
    assert "callback Stuck.close: OSError: stuck" in caplog.text


def test_a_misspelt_method_is_not_ignored(recipe):
    class Misspelt:
        def on_epoch_end(self, run):
            raise AssertionError("never called")

    with pytest.raises(ConfigError, match="callback Misspelt: on_epoch_end is never called; did you mean 'on_epoch'"):
        train(recipe, Misspelt())
    with pytest.raises(ConfigError, match="callback object: has no method that is called"):
        train(recipe, object())


def test_the_end_of_an_epoch_is_seen_once_by_a_run_that_stops_in_its_evaluation(recipe, monkeypatch):
    import os
    import signal

    from ppcls.engine import evaluation

    class Epochs:
        def __init__(self):
            self.seen = []

        def on_epoch(self, run):
            self.seen.append(run.epoch_number)

        def state_dict(self):
            return {"seen": self.seen}

        def load_state_dict(self, state):
            self.seen = state["seen"]

    real, calls = evaluation.evaluate_model, []

    def interrupted(*arguments, **keywords):
        calls.append(len(calls))
        if len(calls) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments, **keywords)

    monkeypatch.setattr(evaluation, "evaluate_model", interrupted)
    with pytest.raises(InterruptedRunError, match="epoch 1 after batch 8/8"):
        train(recipe, Epochs())
    epochs = Epochs()
    train(recipe, epochs, changes=["Global.checkpoints=auto"])
    assert epochs.seen == [1, 2]
    log = (recipe.parent / "out" / "train.log").read_text()
    assert log.count("[Train][Epoch 1/2][Avg]") == 1


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"on_epoch": lambda self: None}, "on_epoch must take one argument, the run"),
        ({"on_step": lambda self, run: None, "statedict": lambda self: {}}, "statedict is never called; did you mean"),
        ({"on_step": lambda self, run: None, "state_dict": lambda self: {}}, "needs load_state_dict"),
        ({"on_step": lambda self, run: None, "load_state_dict": lambda self, state: None}, "needs state_dict"),
    ],
)
def test_callbacks_that_could_not_work_are_refused_before_training(recipe, methods, message):
    with pytest.raises(ConfigError, match=rf"callback Wrong: {message}"):
        train(recipe, type("Wrong", (), methods)())
    assert not (recipe.parent / "out" / "train.log").exists()


def test_a_callback_that_exits_is_an_error_of_the_callback(recipe):
    with pytest.raises(CallbackError, match=r"(?s)callback Failing\.on_step: SystemExit: 3 .*The run is saved"):
        train(recipe, Failing("on_step", error=SystemExit(3)))


def test_a_loss_without_gradient_is_refused(recipe):
    @LOSSES.register(name="Detached")
    class Detached:
        def forward(self, logits, targets):
            return paddle.nn.functional.cross_entropy(logits.detach(), targets)

    try:
        with pytest.raises(TrainingError, match="the loss has no gradient"):
            train(recipe, changes=["Loss.Train=[{Detached: {}}]"])
    finally:
        del LOSSES._entries["Detached"]
