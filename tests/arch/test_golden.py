"""Parity with the reference implementations: parameters to the unit, logits, training loss and gradients."""

import json
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from ppcls.arch import create_model, list_models
from ppcls.arch.weights import load_weights

GOLDENS = Path(__file__).resolve().parents[2].parent / "shared" / "goldens"
if not (GOLDENS / "reference.json").is_file():
    pytest.skip("the reference results (../shared/goldens) are not here", allow_module_level=True)
sys.path.insert(0, str(GOLDENS))
import fill  # noqa: E402 (it lives beside the reference results)

REFERENCE = {
    entry: facts
    for entry, facts in json.loads((GOLDENS / "reference.json").read_text()).items()
    if entry.split("@")[0] in list_models()
}


def load(entry):
    model = create_model(entry.split("@")[0])
    state = {name: fill.fill(name, shape) for name, shape in REFERENCE[entry]["state"].items()}
    return model, load_weights(model, state), state


@pytest.mark.parametrize("entry", REFERENCE)
def test_logits(entry, record_property):
    model, report, state = load(entry)
    assert sum(p.size for p in model.parameters() if p.trainable) == REFERENCE[entry]["params"]
    assert len(report.loaded) + len(report.dropped) == len(state)
    model.eval()
    with paddle.no_grad():
        found = model(paddle.to_tensor(fill.image())).numpy()
    expected = np.load(GOLDENS / "logits.npz")[entry]
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    record_property("difference", float(difference))
    print(f"{entry}: logits differ by {difference:.1e} of the largest")
    assert difference < 1e-4


@pytest.mark.parametrize("entry", [entry for entry, facts in REFERENCE.items() if "train" in facts])
def test_training(entry, record_property):
    model, report, _ = load(entry)
    model.train()
    logits = model(paddle.to_tensor(fill.image()))
    loss = paddle.nn.functional.cross_entropy(logits, paddle.to_tensor(fill.labels()))
    loss.backward()
    expected = REFERENCE[entry]["train"]
    assert float(loss) == pytest.approx(expected["loss"], rel=1e-5)
    naming = next(naming for naming in model.namings if naming.source == report.naming)
    parameters = dict(model.named_parameters())
    largest = 0.0
    for name, norm in expected["grad_norm"].items():
        found = np.linalg.norm(parameters[naming.rename(name)].grad.numpy().astype("float64"))
        # 1e-3 because the reference summed the squares of a million numbers in float32.
        assert found == pytest.approx(norm, rel=1e-3, abs=1e-6), name
        largest = max(largest, abs(found - norm) / max(norm, 1e-6))
    record_property("difference", float(largest))
    print(f"{entry}: loss differs by {float(loss) - expected['loss']:.1e}, gradient norms by up to {largest:.1e}")
