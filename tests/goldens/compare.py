"""Our models against the results of the reference implementations, see README.md."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import paddle

from ppcls.arch import Backbone
from ppcls.weights import LoadReport, create_model, load_weights
from ppcls.weights.names import name_schemes_of
from tests.goldens import fill

FOLDER = Path(__file__).parent


@functools.cache
def reference() -> Dict[str, Dict[str, Any]]:
    """Return what is known of each entry: a variant, or VARIANT@timm for timm's names."""
    return json.loads((FOLDER / "reference.json").read_text(encoding="utf-8"))


def load_reference(entry: str) -> Tuple[Backbone, LoadReport]:
    """Return the variant with the reference's weights, and how they were loaded."""
    model = create_model(entry.split("@")[0])
    state = {name: fill.fill(name, shape) for name, shape in reference()[entry]["state"].items()}
    report = load_weights(model, state)
    assert len(report.loaded) + len(report.dropped) == len(state)
    return model, report


def logits_difference(entry: str, model: Backbone, images: int = 2) -> float:
    """Return the largest difference of the logits of the first ``images`` of two, relative to the largest one."""
    model.eval()
    with paddle.no_grad():
        found = model(paddle.to_tensor(fill.image()[:images])).numpy()
    expected = np.load(FOLDER / "logits.npz")[entry][:images]
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def training_differences(entry: str, model: Backbone, report: LoadReport) -> Dict[str, float]:
    """Return the relative differences of the loss ("loss") and of each parameter's gradient norm, by our names."""
    expected = reference()[entry]["train"]
    model.train()
    loss = paddle.nn.functional.cross_entropy(model(paddle.to_tensor(fill.image())), paddle.to_tensor(fill.labels()))
    loss.backward()
    found = {"loss": abs(float(loss) - expected["loss"]) / expected["loss"]}
    naming = next(naming for naming in name_schemes_of(model) if naming.source == report.naming)
    parameters = dict(model.named_parameters())
    for name, norm in expected["grad_norm"].items():
        ours = str(naming.rename(name))
        actual = float(np.linalg.norm(parameters[ours].grad.numpy().astype("float64")))
        # Below 1e-3, norms are rounding: a shift that a softmax or a norm takes out again has no gradient.
        found[ours] = abs(actual - norm) / max(norm, 1e-3)
    return found
