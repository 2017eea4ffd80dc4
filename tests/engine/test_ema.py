"""Averaged weights (EMA): their definition, their evaluation, and runs that have them."""

import json
import re

import numpy as np
import paddle
import pytest

import ppcls
from ppcls.engine.ema import EMA
from ppcls.engine.model import build_model
from ppcls.errors import CheckpointError
from ppcls.weights import restricted_load
from tests.helpers.models import small_convmixer
from tests.helpers.runs import records


@pytest.mark.parametrize("warmup", [False, True])
def test_the_average_is_the_recursion_of_its_definition(warmup):
    model, rng = small_convmixer(), np.random.default_rng(0)
    ema = EMA(model, 0.6, warmup)
    expected = {name: tensor.numpy().astype("float64") for name, tensor in model.state_dict().items()}
    for step in range(1, 8):
        for tensor in model.state_dict().values():
            tensor.set_value(rng.normal(size=tensor.shape).astype("float32"))
        ema.update(step)
        decay = min(0.6, (1 + step) / (10 + step)) if warmup else 0.6
        for name, tensor in model.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.numpy()
    raw = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, array in ema.averaged_weights().items():
        np.testing.assert_allclose(array, expected[name], atol=1e-6, err_msg=name)
    with ema.applied():
        for name, tensor in model.state_dict().items():
            np.testing.assert_allclose(tensor.numpy(), expected[name], atol=1e-6)
            np.testing.assert_array_equal(ema.raw_weights()[name], raw[name])
            np.testing.assert_allclose(ema.averaged_weights()[name], expected[name], atol=1e-6)
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), raw[name])


def test_the_average_of_a_half_precision_model_is_that_of_its_float32_copies():
    model, rng = small_convmixer(), np.random.default_rng(0)
    full = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.to(dtype="float16")
    ema = EMA(model, 0.9, warmup=False, weights=lambda: full)
    expected = {name: tensor.numpy().astype("float64") for name, tensor in full.items()}
    for step in range(1, 5):
        for name, tensor in model.state_dict().items():
            full[name].set_value((full[name] + 1e-3 * rng.normal(size=tensor.shape)).astype("float32"))
            tensor.set_value(full[name].astype("float16"))
            expected[name] = 0.9 * expected[name] + 0.1 * full[name].numpy()
        ema.update(step)
    halves = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    before = ema.averaged_weights()
    with ema.applied():
        for name, tensor in model.state_dict().items():
            rounded = paddle.to_tensor(before[name]).astype("float16")  # Paddle 2.6 does not round to the nearest
            np.testing.assert_array_equal(tensor.numpy(), rounded.numpy(), err_msg=name)
            np.testing.assert_array_equal(ema.raw_weights()[name], full[name].numpy())
            np.testing.assert_array_equal(ema.averaged_weights()[name], before[name])
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), halves[name])
        np.testing.assert_allclose(ema.averaged_weights()[name], expected[name], atol=1e-6)


def test_an_average_of_another_model_is_refused():
    ema = EMA(small_convmixer(), 0.9)
    arrays = ema.averaged_weights()
    with pytest.raises(CheckpointError, match=r"do not fit this model: head\.weight"):
        ema.load_average({**arrays, "head.weight": arrays["head.weight"][:2]})
    with pytest.raises(CheckpointError, match="extra"):
        ema.load_average({**arrays, "extra": np.zeros(1)})


def probabilities(recipe, weights, batch):
    """Return what the recipe's model answers with the weights of a file."""
    model = build_model(ppcls.load_config(str(recipe)))
    model.set_state_dict(restricted_load(weights))
    model.eval()
    return paddle.nn.functional.softmax(model(paddle.to_tensor(batch))).numpy()


def test_both_are_evaluated_and_the_average_is_what_is_used(recipe, run, digits):
    run("train", "-c", recipe, "-o", "EMA.decay=0.5", "Global.epochs=3")
    out = recipe.parent / "out"
    log = (out / "train.log").read_text()
    assert re.search(r"\[Eval\]\[Epoch 3\]\[Avg\]CELoss: ", log)
    assert re.search(r"\[Eval\]\[Epoch 3\]\[EMA\]CELoss: ", log)
    kinds = {kind: [r for r in records(out) if r["kind"] == kind] for kind in ("eval", "eval_ema")}
    assert len(kinds["eval"]) == len(kinds["eval_ema"]) == 3
    assert kinds["eval"][-1]["loss"] != kinds["eval_ema"][-1]["loss"]
    for name, kind in (("latest", "eval_ema"), ("latest_raw", "eval")):
        values = json.loads(run("eval", "-c", recipe, "-o", f"Global.pretrained_model=out/{name}").stdout)
        assert values["loss"] == pytest.approx(kinds[kind][-1]["loss"], rel=1e-5), name
    best = max(kinds["eval_ema"], key=lambda record: record["top1"])
    values = json.loads(run("eval", "-c", recipe, "-o", "Global.pretrained_model=out/best_model").stdout)
    assert values["top1"] == best["top1"]
    for number, what in enumerate((("-c", recipe, "-o", "Global.pretrained_model=out/best_model"), (out, "-o"))):
        folder = recipe.parent / f"export {number}"
        run("export", *what, f"Global.save_inference_dir={folder}")
        predictor = ppcls.Predictor(folder)
        batch = np.stack([predictor.prepare(path) for path in sorted((digits / "val").iterdir())])
        exported = predictor.run(batch)
        average, raw = (probabilities(recipe, out / f"best_model{end}.pdparams", batch) for end in ("", "_raw"))
        np.testing.assert_allclose(exported, average, rtol=0, atol=1e-5)
        assert np.abs(exported - raw).max() > 1e-3


def test_averages_may_come_and_go(recipe, run):
    run("train", "-c", recipe, "-o", "EMA.decay=0.5", "Global.epochs=1")
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest")
    assert "has averaged weights, and this recipe has no EMA" in done.stderr
    done = run("train", "-c", recipe, "-o", "Global.checkpoints=out/latest", "EMA.decay=0.5", "Global.epochs=3")
    assert "has no averaged weights: EMA begins with the trained ones" in done.stderr
