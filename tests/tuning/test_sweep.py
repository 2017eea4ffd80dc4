"""Sweeps, with real trainings in processes of their own."""

import json
import signal
import time

import pytest

from ppcls.tuning import sweeps
from ppcls.tuning.sweep_page import render_sweep
from ppcls.tuning.trials import DONE, FAILED, Trial
from tests.helpers.forks import Fork

RATE = "Optimizer.lr.learning_rate"


def finished(value, seconds=10.0, lower=False, **changes):
    """Return a trial that has come to its end."""
    result = {"metric": "top1", "lower": lower, "value": value, "epoch": 2, "curve": [[1, 0.1], [2, value]], "run": "x"}
    return Trial(f"run-{value}", {key.replace("__", "."): v for key, v in changes.items()}, DONE, seconds, None, result)


@pytest.mark.slow
def test_a_sweep_ranks_points_and_goes_on_where_it_ended(recipe, run, tmp_path):
    arguments = ("sweep", "-c", recipe, f"{RATE}=[0.01, 1e30]", "--devices", "cpu:2", "--output", tmp_path / "sweep")
    arguments += ("-o", "Global.epochs=1")
    done = run(*arguments)
    result = json.loads(done.stdout)
    good, bad = tmp_path / "sweep" / "learning_rate=0.01", tmp_path / "sweep" / "learning_rate=1e+30"
    assert [point["changes"] for point in result["points"]] == [{RATE: 0.01}]
    best = result["best"]
    assert best["runs"] == [str(good)]
    assert best["command"] == f"ppcls train -c {recipe} -o Global.epochs=1 {RATE}=0.01"
    (failed,) = result["unfinished"]
    assert (failed["changes"], failed["state"]) == ({RATE: 1e30}, "failed")
    assert failed["error"].startswith("the loss is nan at epoch 1")
    assert f"best of 1: top1 {best['value']:.5f} with {RATE}=0.01; 1 failed" in done.stderr
    assert done.stderr.endswith("next: ppcls eval sweep/learning_rate=0.01\n")
    # What it says is what the run says.
    records = [json.loads(line) for line in (good / "metrics.jsonl").read_text().splitlines()]
    assert [record["top1"] for record in records if record["kind"] == "eval"] == [best["value"]]
    assert "the loss is nan" in (tmp_path / "sweep" / "console" / f"{bad.name}.txt").read_text()
    page = (tmp_path / "sweep" / "sweep.html").read_text()
    assert f"{best['value']:.5f}" in page
    assert bad.name in page

    weights = good / "latest.pdparams"
    before = weights.stat().st_mtime_ns
    again = run(*arguments)
    assert "1 of 2 are finished already" in again.stderr
    assert json.loads(again.stdout)["points"] == result["points"]
    assert weights.stat().st_mtime_ns == before

    changed = run(*arguments, "Optimizer.weight_decay=0.5", code=2)
    assert "Optimizer.weight_decay was 0.01 and is 0.5" in changed.stderr


@pytest.mark.slow
def test_ctrl_c_and_the_same_command(recipe, run, tmp_path):
    arguments = ("sweep", "-c", recipe, f"{RATE}=[0.01, 0.02]", "--output", tmp_path / "sweep")
    process = Fork(*arguments, "-o", "Global.epochs=500", cwd=tmp_path)
    first = tmp_path / "sweep" / "learning_rate=0.01"
    deadline = time.monotonic() + 120
    while not (first / "epoch_1.pdstates").exists() and process.poll() is None:
        assert time.monotonic() < deadline, process.said()
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.wait(120) == 130, process.said()
    assert "continue with: the same command" in process.said()[1]
    states = [trial["state"] for trial in json.loads((tmp_path / "sweep" / "sweep.json").read_text())["trials"]]
    assert states == ["interrupted", "pending"]
    reached = json.loads((first / "latest.pdstates").read_text())
    epochs = reached["epoch"] + 1
    done = run(*arguments, "--devices", "cpu:2", "-o", f"Global.epochs={epochs}")
    assert len(json.loads(done.stdout)["points"]) == 2
    console = (tmp_path / "sweep" / "console" / f"{first.name}.txt").read_text()
    assert f"resuming from {first / 'latest'}: epoch {reached['epoch'] + 1}" in console


def test_mistakes_are_said_before_training(recipe, run, tmp_path):
    output = ("--output", tmp_path / "sweep")
    done = run("sweep", "-c", recipe, "Optimizer.lr.learning_rat=[1, 2]", *output, code=2)
    assert "learning_rat" in done.stderr
    done = run("sweep", "-c", recipe, f"{RATE}=[0.1]", *output, "-o", "Global.eval_during_train=false", code=2)
    assert "a sweep compares evaluations" in done.stderr
    done = run("sweep", "-c", recipe, "Global.best_metric=[top1, loss]", *output, code=2)
    assert "compared by one metric" in done.stderr
    assert "--devices" in run("sweep", "-c", recipe, f"{RATE}=[0.1]", "--devices", "cpu:x", code=2).stderr
    assert "--seed" in run("sweep", "-c", recipe, f"{RATE}=[0.1]", "--seed", "1", code=2).stderr
    assert not (tmp_path / "sweep").exists()


def test_the_ranking_counts_seeds_as_one_point():
    trials = [
        finished(0.9, Global__seed=0, Arch__depth=2),
        finished(0.5, Global__seed=1, Arch__depth=2),
        finished(0.8, Global__seed=0, Arch__depth=4),
        finished(0.7, Global__seed=1, Arch__depth=4),
        Trial("failed", {"Global.seed": 2, "Arch.depth": 4}, FAILED, 1.0, "no memory"),
    ]
    ranking = sweeps.rank(trials)
    assert [(ranked.point, round(ranked.mean, 6)) for ranked in ranking] == [
        ({"Arch.depth": 4}, 0.75),
        ({"Arch.depth": 2}, 0.7),
    ]
    assert abs(ranking[0].deviation - 0.1 / 2**0.5) < 1e-12
    assert [ranked.best_run.name for ranked in ranking] == ["run-0.8", "run-0.9"]


def test_lower_losses_rank_higher():
    ranking = sweeps.rank([finished(0.9, lower=True, A=1), finished(0.2, lower=True, A=2)])
    assert [ranked.point for ranked in ranking] == [{"A": 2}, {"A": 1}]


def test_only_seeds(tmp_path):
    trials = [finished(0.9, Global__seed=0), finished(0.5, Global__seed=1)]
    ranking = sweeps.rank(trials)
    assert [ranked.point for ranked in ranking] == [{"Global.seed": 0}, {"Global.seed": 1}]


def test_the_page_escapes_what_users_write(tmp_path):
    trials = [finished(0.9, Arch__name="<b>x</b>"), Trial("y", {"Arch.name": "y"}, FAILED, 1.0, "<script>")]
    sweep = sweeps.Sweep(sweeps.Recipe("a<b.yaml"), tmp_path, ["Arch.name"], trials, sweeps.rank(trials))
    page = render_sweep(sweep)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "<b>x</b>" not in page
