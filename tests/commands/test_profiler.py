"""``ppcls train --profiler_options``: a profile of some batches."""

import json

import pytest

from ppcls.arch import ops


def profile(run, recipe, options, *changes, **settings):
    return run("train", "-c", recipe, "-p", options, *(["-o", *changes] if changes else []), **settings)


@pytest.fixture
def product():
    """Return what a matrix product is called: it is an operator of this project's, if the CPU has those."""
    return "operator: _Linear" if ops.available() else "matmul"


def test_a_profile_leaves_a_trace_and_a_table_and_ends_the_training(recipe, run, product):
    done = profile(run, recipe, "batch_range=[1, 3]")
    (trace,) = (recipe.parent / "out" / "profiler_log").glob("*.json")
    events = json.loads(trace.read_text())["traceEvents"]
    steps = {event["name"].split("[")[0] for event in events if "ProfileStep" in event.get("name", "")}
    assert {"ProfileStep#1", "ProfileStep#2"} <= steps
    assert not {"ProfileStep#0", "ProfileStep#3"} & steps
    assert any(product in event.get("name", "") for event in events)
    assert "profile of batches 1 to 3" in done.stderr
    assert product in done.stderr
    assert "training ends after the profile" in done.stderr
    assert "[Epoch 1/2][Avg]" not in done.stderr
    assert done.stdout == ""
    assert not (recipe.parent / "out" / "latest.pdparams").exists()


def test_training_goes_on_where_it_is_told_to(recipe, run, tmp_path):
    options = f"batch_range=[0,2]; profile_path={tmp_path}/elsewhere; exit_on_finished=no; tracer_option=OpDetail; "
    done = profile(run, recipe, options + "state=CPU; sorted_key=max", "Global.epochs=1")
    assert len(list((tmp_path / "elsewhere").glob("*.json"))) == 1
    assert json.loads(done.stdout)["epoch"] == 1
    assert (recipe.parent / "out" / "latest.pdparams").exists()


def test_a_timer_writes_no_trace(recipe, run):
    done = profile(run, recipe, "batch_range=[1, 4]; timer_only=True")
    assert "profile of batches 1 to 4: " in done.stderr
    assert "batch_cost: " in done.stderr
    assert not (recipe.parent / "out" / "profiler_log").exists()


def test_too_few_batches_are_said(recipe, run):
    done = profile(run, recipe, "batch_range=[100, 200]", "Global.epochs=1")
    assert "batch_range=[100, 200]: the run had 8 batches: the profile is incomplete" in done.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("batch_rnge=[1, 2]", "unknown option 'batch_rnge'; did you mean 'batch_range'?"),
        ("batch_range", 'batch_range: write key=value, separated by ";"'),
        ("", "no options given"),
        ("batch_range=[5]", "must be two whole numbers"),
        ("batch_range=[5, x]", "must be two whole numbers"),
        ("batch_range=[-5, 5]", "must be two whole numbers"),
        ("batch_range=[5, 5]", "the first number must be lower than the second"),
        ("state=TPU", "must be one of CPU, GPU, All"),
        ("sorted_key=calls", "must be one of total, ave, max, min; Paddle's profiler does not sort by the number"),
        ("tracer_option=All", "must be one of Default, OpDetail, AllOpDetail"),
        ("exit_on_finished=maybe", "must be true or false"),
        ("state=CPU; state=GPU", "state is given twice"),
    ],
)
def test_bad_options_end_with_code_2_before_training(recipe, run, options, message):
    done = profile(run, recipe, options, code=2)
    assert "error: --profiler_options: " in done.stderr
    assert message in done.stderr
    assert not (recipe.parent / "out").exists()
