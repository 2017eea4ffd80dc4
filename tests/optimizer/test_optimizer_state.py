"""An interrupted run is the uninterrupted one, bit for bit."""

import numpy as np
import pytest

from ppcls.errors import CheckpointError
from ppcls.optimizer import build_optimizer, load_optimizer_state, optimizer_state
from ppcls.weights import load_weights, restricted_load
from tests.helpers.forks import run_fork
from tests.helpers.recipes import ROOT
from tests.optimizer.resume import ARGS, make, train

KINDS = {
    "SGD": set(),
    "Momentum": {"velocity"},
    "Adam": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
    "AdamW": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
    "AdamWDL": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
    "Lamb": {"moment1", "moment2", "beta1_pow_acc", "beta2_pow_acc"},
    "RMSProp": {"momentum", "mean_square", "mean_grad"},
    "NAdam": {"moment1", "moment2", "updates", "mu_product"},
    "Lion": {"momentum"},
    "Adan": {"moment", "difference", "square", "previous_gradient", "updates"},
}


def arrays_of(model):
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def assert_same(one, other):
    assert one.keys() == other.keys()
    for key in one:
        np.testing.assert_array_equal(one[key], other[key], err_msg=key)


@pytest.mark.parametrize("name", ["Momentum", "AdamW", "NAdam"])
def test_three_real_processes(name, tmp_path):
    def run(*arguments):
        program = "import sys; from tests.optimizer.resume import main; main(*sys.argv[1:])"
        run_fork(name, *arguments, cwd=ROOT, program=program)

    whole, half, rest = (tmp_path / f"{part}.pdopt" for part in ("whole", "half", "rest"))
    run(0, 6, whole)
    run(0, 3, half)
    run(3, 6, rest, half)
    expected, found = restricted_load(whole), restricted_load(rest)
    assert_same(expected["model"], found["model"])
    assert_same(expected["optimizer"], found["optimizer"])
    moved = restricted_load(half)["model"]
    assert not np.array_equal(moved["head.weight"], found["model"]["head.weight"])


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("after_a_step", [False, True])
@pytest.mark.parametrize("name", ARGS)
def test_a_second_model(name, after_a_step, frozen):
    model, optimizer = make(name, 0, frozen)
    train(model, optimizer, 0, 6)
    first, first_optimizer = make(name, 0, frozen)
    train(first, first_optimizer, 0, 3)
    weights, state = arrays_of(first), optimizer_state(first_optimizer, first)
    train(first, first_optimizer, 3, 5)  # what was saved must not move on

    second, second_optimizer = make(name, 5, frozen)
    if after_a_step:
        train(second, second_optimizer, 7, 8)
    load_weights(second, weights)
    load_optimizer_state(second_optimizer, second, state)
    assert_same(optimizer_state(second_optimizer, second), state)
    train(second, second_optimizer, 3, 6)
    assert_same(arrays_of(model), arrays_of(second))


@pytest.mark.parametrize("name", ARGS)
def test_names(name):
    model, optimizer = make(name, 0, frozen=True)
    state = optimizer_state(optimizer, model)
    parameters = [n for n, p in model.named_parameters() if not p.stop_gradient]
    assert set(state) == {f"{n}/{kind}" for n in parameters for kind in KINDS[name]}
    assert not any(key.startswith("stem.") for key in state)


def test_looking_at_the_state_changes_nothing():
    model, optimizer = make("AdamW", 0)
    optimizer_state(optimizer, model)
    train(model, optimizer, 0, 3)
    other, other_optimizer = make("AdamW", 0)
    train(other, other_optimizer, 0, 3)
    assert_same(arrays_of(model), arrays_of(other))


@pytest.mark.parametrize("name", ["AdamW", "RMSProp", "NAdam", "Lamb", "Lion", "Adan"])
def test_half_precision_keeps_master_weights(name):
    model, _ = make("AdamW", 0)
    for layer in model.sublayers(include_self=True):  # Layer.bfloat16() does nothing where the CPU cannot compute in it
        for key, parameter in list(layer._parameters.items()):
            layer._parameters[key] = layer.create_parameter(parameter.shape, dtype="bfloat16")
    optimizer = build_optimizer({"name": name, "multi_precision": True}, model, learning_rate=0.1)
    state = optimizer_state(optimizer, model)
    assert state["head.weight/master_weight"].dtype == np.float32
    state["head.weight/master_weight"] += 1
    load_optimizer_state(optimizer, model, state)
    assert_same(optimizer_state(optimizer, model), state)


def test_what_does_not_fit_is_listed_and_nothing_loaded():
    model, optimizer = make("AdamW", 0)
    train(model, optimizer, 0, 1)
    before = optimizer_state(optimizer, model)
    state = {key: array + 1 for key, array in before.items()}
    del state["head.bias/moment1"]
    state["extra/moment1"] = np.zeros(1, np.float32)
    state["head.bias/moment2"] = np.zeros(7, np.float32)
    state["head.weight/moment2"] = state["head.weight/moment2"].astype(np.float64)
    with pytest.raises(CheckpointError) as caught:
        load_optimizer_state(optimizer, model, state)
    text = str(caught.value)
    assert "does not fit AdamW" in text
    assert "1 missing: head.bias/moment1" in text
    assert "1 unexpected: extra/moment1" in text
    assert "2 mis-shaped: " in text
    assert "head.bias/moment2 float32[7] instead of float32[5]" in text
    assert_same(optimizer_state(optimizer, model), before)


def test_state_of_another_optimizer():
    model, optimizer = make("Momentum", 0)
    train(model, optimizer, 0, 1)
    other, adam = make("AdamW", 0)
    with pytest.raises(CheckpointError, match=r"88 missing: .* and 78 more\n  22 unexpected: .*velocity"):
        load_optimizer_state(adam, other, optimizer_state(optimizer, model))
    with pytest.raises(CheckpointError, match="which this model does not have"):
        optimizer_state(adam, model)
