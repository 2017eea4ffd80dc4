"""Experiment trackers, each with its real local or offline mode where it is installed."""

import json
import sys

import pytest
import yaml

from ppcls.engine.callbacks.trackers import TensorBoard, Tracker
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.signals import InterruptedRunError
from ppcls.engine.stages import train as train_stages
from ppcls.engine.supplied import Supplied


class Interrupt:
    """Asks the run to stop after a number of steps, as Ctrl-C does."""

    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.state.step == self.step:
            run.signals.signal = 2


class Recorder(Tracker):
    """Keeps what a tracker would send; fails while it is told to."""

    package = "json"

    def __init__(self):
        super().__init__()
        self.points, self.best, self.done, self.broken = [], None, None, False

    def open(self, run):
        self.tracked_run = self.tracked_run or "run-1"

    def log(self, step, values):
        if self.broken:
            raise ConnectionError("no route")
        self.points.append((step, values))

    def summarize(self, values):
        self.best = values

    def finish(self, done):
        self.done = done


def with_callbacks(recipe, *callbacks, **settings):
    """Change a recipe; return its folder of results."""
    values = yaml.safe_load(recipe.read_text())
    values["Callbacks"] = list(callbacks)
    values["Global"].update({"epochs": 2, **settings})
    recipe.write_text(yaml.safe_dump(values))
    return recipe.parent / "out"


def train(recipe, *callbacks, changes=()):
    from ppcls.engine import load_config

    return train_stages(load_config(str(recipe), list(changes)), supplied=Supplied(callbacks=callbacks))


def curves(folder):
    """Return the points of metrics.jsonl: value by (name, step)."""
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {
        (f"{record['kind']}/{name}", record["step"]): value
        for record in records
        for name, value in record.items()
        if name not in ("kind", "step", "epoch", "details") and value is not None
    }


def interrupted_and_resumed(recipe, run, *callbacks):
    """Train by a recipe with trackers, interrupted in the second epoch and continued; return the folder."""
    folder = with_callbacks(recipe, *callbacks)
    with pytest.raises(InterruptedRunError):
        train(recipe, Interrupt(12))
    run("train", "-c", recipe, "-o", f"Global.checkpoints={folder / 'latest'}")
    return folder


def test_what_a_tracker_gets(recipe):
    recorder = Recorder()
    folder = with_callbacks(recipe)
    result = train(recipe, recorder)
    sent = {(name, step): value for step, values in recorder.points for name, value in values.items()}
    assert sent == curves(folder)
    assert ("eval/top1", 16) in sent
    assert ("train/lr", 1) in sent
    assert recorder.best == {"best/top1": result.best["top1"], "best/epoch": result.best["epoch"]}
    assert recorder.done is True
    assert checkpoint.read_states(folder / "latest")["callbacks"]["Recorder"] == {"tracked_run": "run-1"}


def test_a_run_that_is_stopped_is_not_done(recipe):
    recorder = Recorder()
    with_callbacks(recipe)
    with pytest.raises(InterruptedRunError):
        train(recipe, recorder, Interrupt(3))
    assert recorder.done is False
    assert recorder.best is None


def test_training_goes_on_without_its_tracker(recipe):
    class Breaking:
        """Breaks the tracker after the first epoch, and mends it at the second evaluation."""

        def on_eval(self, run):
            recorder.broken = run.epoch_number == 1

    recorder = Recorder()
    folder = with_callbacks(recipe)
    train(recipe, Breaking(), recorder)
    log = (folder / "train.log").read_text()
    assert log.count("Recorder does not answer: no route") == 1
    sent = {(name, step): value for step, values in recorder.points for name, value in values.items()}
    assert sent == curves(folder)  # kept, and sent at the end
    assert "did not get" not in log


def test_what_was_never_sent_is_said(recipe):
    recorder = Recorder()
    recorder.broken = True
    folder = with_callbacks(recipe)
    train(recipe, recorder)
    log = (folder / "train.log").read_text()
    assert log.count("does not answer") == 1
    assert "Recorder did not get 12 lines of metrics" in log


@pytest.mark.parametrize(
    ("name", "package"), [("TensorBoard", "tensorboard"), ("WandB", "wandb"), ("MLflow", "mlflow")]
)
def test_a_missing_package_is_said_before_training(name, package, recipe, run, monkeypatch):
    folder = with_callbacks(recipe, {name: {}})
    monkeypatch.setitem(sys.modules, package, None)
    done = run("train", "-c", recipe, code=2)
    assert f'Callbacks: {name} needs {package}, which is not installed: pip install ".[{package}]"' in done.stderr
    assert not (folder / "train.log").exists()
    # Weights are used without it.
    run("config", "-c", recipe)


def test_visualdl(recipe, run):
    folder = with_callbacks(recipe, {"VisualDL": None}, use_visualdl=True)
    run("train", "-c", recipe)
    assert len(list((folder / "vdl").glob("vdlrecords.*"))) == 1


def test_tensorboard(recipe, run):
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = interrupted_and_resumed(recipe, run, {"TensorBoard": None})
    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    read = {(tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)}
    expected = curves(folder)
    assert read.keys() == expected.keys()
    assert all(abs(read[key] - value) <= 1e-6 * max(1, abs(value)) for key, value in expected.items())
    (text,) = events.Tensors("recipe")
    assert b"ConvMixer" in text.tensor_proto.string_val[0]


def test_tensorboard_drops_what_is_computed_again(recipe, run):
    """After a kill, the run goes on from the last checkpoint, and has some steps twice."""
    pytest.importorskip("tensorboard", reason="needs tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = with_callbacks(recipe)
    logs = folder.parent / "logs"
    train(recipe, TensorBoard(str(logs)))
    train(recipe, TensorBoard(str(logs)), changes=[f"Global.checkpoints={folder / 'epoch_1'}"])
    events = EventAccumulator(str(logs)).Reload()
    steps = [event.step for event in events.Scalars("train/loss")]
    assert steps == sorted(set(steps))
    assert [event.step for event in events.Scalars("eval/top1")] == [8, 16]


def test_wandb_offline(recipe, run, monkeypatch):
    pytest.importorskip("wandb", reason="needs wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = interrupted_and_resumed(recipe, run, {"WandB": {"project": "digits", "mode": "offline", "tags": ["a"]}})
    files = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert len({file.stem for file in files}) == 1  # one run
    sent, summary, config, codes = {}, {}, {}, []
    for file in files:
        for data in wandb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = {_key(item): json.loads(item.value_json) for item in record.history.item}
            sent.update({(name, items["step"]): value for name, value in items.items() if "/" in name})
            summary.update({_key(item): json.loads(item.value_json) for item in record.summary.update})
            config.update({item.key: json.loads(item.value_json) for item in record.run.config.update})
            if record.WhichOneof("record_type") == "exit":
                codes.append(record.exit.exit_code)
    assert sent == curves(folder)
    assert summary["best/top1"] == checkpoint.read_states(folder / "latest")["best"]["value"]
    assert config["Arch"]["name"] == "ConvMixer"
    assert codes == [1, 0]


def wandb_records(content):
    """Yield the records of a file of W&B, in LevelDB's log format (github.com/google/leveldb, doc/log_format.md)."""
    block, position, parts = 32768, 7, []  # behind the file's own header
    while position + 7 <= len(content):
        if block - position % block < 7:  # the rest of a block is padding
            position += block - position % block
            continue
        length, kind = int.from_bytes(content[position + 4 : position + 6], "little"), content[position + 6]
        parts.append(content[position + 7 : position + 7 + length])
        position += 7 + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield b"".join(parts)
            parts = []


def _key(item):
    return item.key or "/".join(item.nested_key)


def test_mlflow(recipe, run, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow")
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # artifacts of a local store go here
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    folder = interrupted_and_resumed(recipe, run, {"MLflow": {"tracking_uri": uri, "experiment": "digits"}})
    client = MlflowClient(uri)
    (tracked,) = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert (tracked.info.status, tracked.info.run_name) == ("FINISHED", "out")
    assert tracked.data.params["Arch.name"] == "ConvMixer"
    read = {
        (name, point.step): point.value
        for name in tracked.data.metrics
        for point in client.get_metric_history(tracked.info.run_id, name)
        if not name.startswith("best/")
    }
    assert read == curves(folder)
    assert tracked.data.metrics["best/top1"] == checkpoint.read_states(folder / "latest")["best"]["value"]


def test_mlflow_that_cannot_be_reached(recipe, run, monkeypatch):
    pytest.importorskip("mlflow", reason="needs mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with_callbacks(recipe, {"MLflow": {"tracking_uri": "http://127.0.0.1:9"}})
    assert "error: Callbacks: MLflow: " in run("train", "-c", recipe, code=2).stderr
