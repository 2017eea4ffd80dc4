"""``ppcls train --profile``: a page about where the time of some steps goes."""

import json
import re

import pytest

from ppcls.engine.trace import read_trace
from ppcls.report.profile_page import Profile


def rows(page):
    """Return the cells of each row of a page's tables, by the first cell."""
    ends = r"<span.*?</span>|</t[dr]>|</table>|</div>"
    lines = [re.sub(ends, "", line) for line in page.splitlines() if line.startswith("<tr><td>")]
    return {cells[0]: cells[1:] for cells in (line[len("<tr><td>") :].split("<td>") for line in lines)}


def test_a_page_about_some_steps(recipe, run):
    from ppcls.arch import ops

    done = run("train", "-c", recipe, "--profile", "2:5", "-o", "Global.epochs=1")
    assert json.loads(done.stdout)["epoch"] == 1  # training goes on
    assert "wrote the profile of steps 2 to 5" in done.stderr
    page = (recipe.parent / "out" / "profile.html").read_text()
    found = rows(page)
    parts = ["waiting for data", "forward pass of the models", "backward pass", "update of the weights", "callbacks"]
    assert all(float(found[part][0]) > 0 for part in parts)
    step = float(re.search(r"<b>([0-9.]+) ms a step", page)[1])
    assert 0.2 * step < sum(float(found[part][0]) for part in parts) < 5 * step
    assert float(found["ConsoleLog"][0]) > 0
    assert float(found["adamw"][0]) == 22  # parameters
    assert float(found["adamw"][3]) > 0
    name = "ops.linear" if ops.available() else "conv2d"
    calls, forward, backward, *_ = map(float, (cell.rstrip("%") for cell in found[name]))
    assert calls >= 2
    assert forward > 0
    assert backward > 0
    assert "<script" not in page
    assert "http" not in page


def test_recording_ends_with_the_last_step(recipe, run):
    from paddle.autograd import PyLayer

    before = {(one, name): vars(one)[name] for one in PyLayer.__subclasses__() for name in ("forward", "backward")}
    run("train", "-c", recipe, "--profile", "1:2", "-o", "Global.epochs=1")
    assert before.items() <= {(one, name): vars(one)[name] for one, name in before}.items()


def test_too_few_steps_are_said(recipe, run):
    done = run("train", "-c", recipe, "--profile", "-o", "Global.epochs=1")  # 8 steps
    assert "--profile 10:20: the run had 8 steps: the profile is incomplete" in done.stderr
    assert not (recipe.parent / "out" / "profile.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--profile", "5"], "--profile 5: must be FIRST:END, such as 10:20"),
        (["--profile", "5:5"], "--profile 5:5: must be FIRST:END"),
        (["--profile", "a:b"], "--profile a:b: must be FIRST:END"),
        (["--profile", "-p", "batch_range=[1, 2]"], "--profile and --profiler_options cannot be used together"),
    ],
)
def test_errors(recipe, run, options, message):
    done = run("train", "-c", recipe, *options, code=2)
    assert message in done.stderr
    assert not (recipe.parent / "out").exists()


def event(name, category, start, end):
    return {
        "name": f"{name}[1 us]",
        "cat": category,
        "ph": "X",
        "ts": start * 1000,
        "dur": (end - start) * 1000,
        "tid": "7(C++)",
    }


def test_times_of_a_trace(tmp_path):
    """The numbers of one step, in milliseconds, with what lies in what."""
    events = [
        event("ProfileStep#0", "ProfileStep", 0, 100),
        event("Model", "Forward", 10, 40),
        event("Linear", "Forward", 11, 30),
        event("operator: _LayerNorm", "PythonUserDefined", 12, 20),
        event("reshape dygraph", "Operator", 13, 14),
        event("matmul dygraph", "Operator", 21, 26),
        event("cross_entropy_with_softmax dygraph", "Operator", 41, 43),
        event("Gradient Backward", "Backward", 44, 80),
        event("Global_MatmulGradNode", "Operator", 45, 55),
        event("Global_GradNodePyLayer__LayerNorm", "Operator", 56, 62),
        event("operator: _LayerNorm", "PythonUserDefined", 57, 61),
        event("Optimization Step", "Optimization", 81, 90),
        event("adamw_ dygraph", "Operator", 82, 84),
        event("sqrt dygraph", "Operator", 83.9995, 84.9995),  # rounding: it begins after the one before
        event("callback: ConsoleLog", "PythonUserDefined", 91, 92),
        {**event("matmul dygraph", "Operator", 21, 26), "tid": "8(C++)"},
    ]
    path = tmp_path / "trace.json"
    path.write_text(json.dumps({"traceEvents": events}))
    times = read_trace(path)
    milliseconds = {
        name: {k: round(1000 * v, 6) for k, v in one.seconds.items()} for name, one in times.operators.items()
    }
    assert milliseconds == {
        "ops.layer_norm": {"forward": 7, "backward": 6},
        "reshape": {"forward": 1},
        "matmul": {"forward": 5, "backward": 10},
        "cross_entropy_with_softmax": {"other": 2},
        "adamw": {"update": 2},
        "sqrt": {"update": 1},
    }
    assert times.operators["ops.layer_norm"].calls == 2
    phases = Profile("Model", 1, 0, [(0.1, 0.01)], times).phases()
    rounded = {name: round(1000 * seconds, 6) for name, seconds in phases.items()}
    assert rounded == {"data": 10, "forward": 30, "backward": 36, "update": 9, "callbacks": 1, "other": 14}
