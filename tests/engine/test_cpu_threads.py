"""The number of CPU threads of a run: set, measured, kept in checkpoints."""

import json
import math
import re

import paddle
import pytest

from ppcls.arch import ops
from ppcls.engine import cpu_threads
from ppcls.utils import environment
from ppcls.utils.digests import sha256
from tests.helpers.runs import digests

pytestmark = pytest.mark.skipif(not ops.can_set_threads(), reason="this build of Paddle has no Intel OpenMP runtime")


@pytest.fixture(autouse=True)
def threads_of_process():
    """Check that a test leaves the number of threads as it was."""
    before = ops.get_threads()
    yield
    ops.reset_threads()
    assert ops.get_threads() == before


@pytest.fixture
def free_choice(monkeypatch):
    """Let runs choose between one and two threads by a measurement, as if the user had not set the number."""
    monkeypatch.setattr(environment, "threads_are_chosen_here", lambda: True)
    monkeypatch.setattr(environment, "threads", lambda: 2)
    monkeypatch.setattr(cpu_threads, "_LONGEST_STEP", math.inf)


def recorded(out, name="latest"):
    return json.loads((out / f"{name}.pdstates").read_text())["cpu_threads"]


def logged(out):
    return re.search(r"CPU threads: (.*), MKL", (out / "train.log").read_text())[1]


def test_the_measurement_changes_nothing_but_the_number_of_threads(recipe, run, free_choice, monkeypatch):
    states = []

    def observed(config, state, loader):
        states.append(bits(state))
        seconds = measure(config, state, loader)
        states.append(bits(state))
        return seconds

    def with_random_numbers(step, threads):
        paddle.rand([1])  # as models with dropout draw
        return compare(step, threads)

    measure, compare = cpu_threads._measure, cpu_threads._compare
    monkeypatch.setattr(cpu_threads, "_measure", observed)
    monkeypatch.setattr(cpu_threads, "_compare", with_random_numbers)
    run("train", "-c", recipe)
    before, after = states
    assert before == after
    assert any(name.endswith("_mean") for name in before)
    out = recipe.parent / "out"
    count = recorded(out)
    assert re.fullmatch(
        rf"{count} \(measured: [\d.]+ ms a step with one thread, [\d.]+ ms with 2; override with .*\)", logged(out)
    )
    run("train", "-c", recipe, "-o", f"Global.cpu_threads={count}", "Global.output_dir=again")
    assert digests(recipe.parent / "again") == digests(out)


def bits(state):
    """Return the bits of a model, whether it trains, its gradients, and the state of the random generator."""
    tensors = {name: tensor.numpy().tobytes() for name, tensor in state.model.state_dict().items()}
    gradients = [parameter.grad is None for parameter in state.model.parameters()]
    generators = [str(one).split()[4:] for one in paddle.get_rng_state()]  # without an address
    return {**tensors, "training": state.model.training, "gradients": gradients, "generators": generators}


@pytest.mark.parametrize(("one", "count"), [(0.05, 1), (0.099, 2), (0.2, 2)])
def test_one_thread_is_used_where_it_is_clearly_faster(recipe, run, free_choice, monkeypatch, one, count):
    monkeypatch.setattr(cpu_threads, "_compare", lambda step, threads: (one, 0.1))
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    out = recipe.parent / "out"
    assert recorded(out) == count
    times = f"measured: {1000 * one:.1f} ms a step with one thread, 100.0 ms with 2"
    assert logged(out).startswith(f"{count} ({times}; override")


@pytest.mark.parametrize("change", ["long", "to_static", "teacher"])
def test_other_models_compute_with_all_threads(recipe, run, trained, free_choice, monkeypatch, change):
    changes = {
        "long": (),
        "to_static": ("Global.to_static=true",),
        "teacher": (
            f"Distillation={{teacher: {{name: ConvMixer, dim: 16, depth: 2, kernel_size: 3, patch_size: 4, "
            f"pretrained: {trained}/out/best_model}}}}",
        ),
    }[change]
    if change == "long":
        monkeypatch.setattr(cpu_threads, "_LONGEST_STEP", 0)
    monkeypatch.setattr(cpu_threads, "_compare", None)  # not called
    run("train", "-c", recipe, "-o", "Global.epochs=1", *changes)
    assert "measured" not in logged(recipe.parent / "out")
    assert recorded(recipe.parent / "out") == ops.get_threads()


def test_a_run_continues_with_its_number_of_threads(recipe, run, free_choice, monkeypatch):
    out, again = recipe.parent / "out", recipe.parent / "again"
    run("train", "-c", recipe, "-o", "Global.cpu_threads=2")
    assert logged(out) == "2 (set by Global.cpu_threads)"
    monkeypatch.setattr(cpu_threads, "_measure", None)  # not called
    resumed = ("-o", f"Global.checkpoints={out}/epoch_1", f"Global.output_dir={again}")
    done = run("train", "-c", recipe, *resumed)
    assert logged(again).startswith("2 (as when the checkpoint was saved")
    assert "last digits" not in done.stderr
    assert recorded(again) == 2
    for name in ("latest.pdparams", "latest.pdopt"):
        assert sha256(again / name) == sha256(out / name)


def test_another_number_of_threads_than_before_is_said(recipe, run, free_choice):
    out = recipe.parent / "out"
    run("train", "-c", recipe, "-o", "Global.cpu_threads=3")
    resumed = ("-o", f"Global.checkpoints={out}/epoch_1", "Global.output_dir=again")
    warning = r"saved with 3 CPU threads and continues with {}: results may differ in the last digits"
    done = run("train", "-c", recipe, *resumed, "Global.cpu_threads=2")
    assert re.search(warning.format(2), done.stderr)
    done = run("train", "-c", recipe, *resumed)  # this machine has two cores
    assert re.search(warning.format(ops.get_threads()), done.stderr)


def test_what_the_user_sets_is_not_measured(recipe, run, monkeypatch):
    """OMP_NUM_THREADS is set here, as it is for all tests."""
    monkeypatch.setattr(cpu_threads, "_measure", None)  # not called
    run("train", "-c", recipe, "-o", "Global.epochs=1")
    assert recorded(recipe.parent / "out") == ops.get_threads()
    assert "set by the user with OMP_NUM_THREADS" in logged(recipe.parent / "out")


def test_evaluation_uses_the_number_in_the_recipe(trained, run):
    before = ops.get_threads()
    weights = "Global.pretrained_model=out/best_model"
    run("eval", "-c", trained / "recipe.yaml", "-o", weights, f"Global.cpu_threads={before + 1}", cwd=trained)
    assert ops.get_threads() == before + 1
    run("eval", "-c", trained / "recipe.yaml", "-o", weights, cwd=trained)
    assert ops.get_threads() == before


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "true", "100000"])
def test_wrong_numbers_are_errors(recipe, run, value):
    done = run("train", "-c", recipe, "-o", f"Global.cpu_threads={value}", code=2)
    assert "Global.cpu_threads: must be 'auto' or " in done.stderr


def test_a_number_that_cannot_be_set_is_an_error(recipe, run, monkeypatch):
    monkeypatch.setattr(ops, "can_set_threads", lambda: False)
    done = run("train", "-c", recipe, "-o", "Global.cpu_threads=2", code=2)
    assert "set OMP_NUM_THREADS=2 instead" in done.stderr
