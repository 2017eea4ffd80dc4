"""Trackers that are slow or do not answer."""

import http.server
import threading
import time

import pytest
import yaml

from ppcls.engine import load_config
from ppcls.engine.callbacks.trackers import Tracker, sending
from ppcls.engine.stages import train
from ppcls.engine.supplied import Supplied

POINTS = 12  # log steps, ends of epochs and evaluations of the run


class Remote(Tracker):
    """A tracker whose every call waits until a gate is opened."""

    package = "json"
    is_remote = True

    def __init__(self):
        super().__init__()
        self.gate, self.calls, self.error = threading.Event(), [], None

    def open(self, run):
        pass

    def log(self, step, values):
        assert self.gate.wait(60)
        if self.error is not None:
            raise self.error
        self.calls.append(step)

    def summarize(self, values):
        self.calls.append("best")

    def finish(self, done):
        self.calls.append(f"done {done}")


class AtEnd:
    """Calls a function when training is done."""

    def __init__(self, function):
        self.function = function

    def on_train_end(self, run):
        self.function()


def trained(recipe, *callbacks, changes=()):
    """Train for two epochs; return the log."""
    train(load_config(str(recipe), ["Global.epochs=2", *changes]), supplied=Supplied(callbacks=callbacks))
    return (recipe.parent / "out" / "train.log").read_text()


def test_no_step_waits_for_the_network(recipe):
    """Were a step to wait, it would be for a minute, and then an error."""
    remote = Remote()
    log = trained(recipe, AtEnd(remote.gate.set), remote)
    steps = remote.calls[:-2]
    assert len(steps) == POINTS
    assert steps == sorted(steps)
    assert remote.calls[-2:] == ["best", "done True"]
    assert "Remote" not in log


def test_a_tracker_that_never_answers_does_not_hold_up_the_end(recipe, monkeypatch):
    monkeypatch.setattr(sending, "_SECONDS_AT_END", 0.5)
    remote = Remote()
    began = []
    log = trained(recipe, AtEnd(lambda: began.append(time.monotonic())), remote)
    assert time.monotonic() - began[0] < 5
    assert f"Remote did not get {POINTS} lines of metrics; metrics.jsonl has them" in log
    assert "Remote: the best evaluation was not recorded: it does not answer" in log
    assert remote.calls == []
    remote.gate.set()  # ends the thread's call


def test_a_tracker_that_fails_is_tried_again_at_the_end(recipe):
    remote = Remote()
    remote.error = ConnectionError("no route")
    remote.gate.set()

    def mend():
        remote.error = None

    log = trained(recipe, AtEnd(mend), remote)
    assert log.count("Remote does not answer: no route. Training goes on") == 1
    assert len(remote.calls) == POINTS + 2
    assert "did not get" not in log


@pytest.mark.parametrize("kind", [sending.Sender, sending.BackgroundSender])
def test_the_oldest_points_are_dropped(kind, monkeypatch):
    monkeypatch.setattr(sending, "_KEPT", 3)
    sent, is_broken = [], True

    def log(step, values):
        if is_broken:
            raise ConnectionError("no route")
        sent.append(step)

    sender = kind("Test", log)
    for step in range(8):
        sender.add(step, {})
        time.sleep(0.01)
    assert sender.missing == 8
    is_broken = False
    sender.flush()
    assert sent == [5, 6, 7]
    assert sender.missing == 5


def test_mlflow_with_a_server_that_stops_answering(recipe, run, monkeypatch):
    """The server takes the run and the recipe, then leaves every request open."""
    pytest.importorskip("mlflow", reason="needs mlflow")
    monkeypatch.setattr(sending, "_SECONDS_AT_END", 1.0)
    closed = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.answer(b'{"experiment": {"experiment_id": "1", "name": "ppcls", "artifact_location": "/nowhere"}}')

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if b'"metrics": [{' in body:
                closed.wait(60)
            self.answer(
                b'{"run": {"info": {"run_id": "r", "run_uuid": "r", "experiment_id": "1", "status": "RUNNING"}}}'
            )

        def answer(self, content):
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    values = yaml.safe_load(recipe.read_text())
    values["Callbacks"] = [{"MLflow": {"tracking_uri": f"http://127.0.0.1:{server.server_address[1]}"}}]
    recipe.write_text(yaml.safe_dump(values))
    try:
        done = run("train", "-c", recipe, timeout=60)
    finally:
        closed.set()
        server.shutdown()
    assert f"MLflow did not get {POINTS} lines of metrics" in done.stderr
