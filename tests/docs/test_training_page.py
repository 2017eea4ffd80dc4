"""What docs/callbacks.md tells users to paste into files of their own: a callback, a metric and a loss."""

import json
import re

import numpy as np
import paddle
import pytest
import yaml

import ppcls
from ppcls.config.global_section import GlobalSection
from tests.helpers.command_line import forgotten_imports
from tests.helpers.recipes import ROOT

PAGE = (ROOT / "docs" / "callbacks.md").read_text()
PARTS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(CALLBACKS,) = (
    yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "Callbacks" in block
)


@pytest.fixture
def mine(recipe):
    """Return a recipe with the page's callback, metric and loss, beside one file that has them all."""
    (recipe.parent / "my_parts.py").write_text("\n\n".join(PARTS))
    values = yaml.safe_load(recipe.read_text())
    values["Global"].update(CALLBACKS["Global"])
    values["Callbacks"] = CALLBACKS["Callbacks"]
    for side in ("Train", "Eval"):
        values["Metric"][side].append({"Confidence": None})
    values["Loss"] = {"Train": [{"Margin": None}]}
    recipe.write_text(yaml.safe_dump(values))
    with forgotten_imports():
        yield recipe


def test_the_callback_lists_the_best_epochs_and_continues_its_list(mine):
    out = mine.parent / "out"
    ppcls.train(mine)
    first = json.loads((out / "best_epochs.json").read_text())
    result = ppcls.train(mine, changes={"Global.epochs": 4, "Global.checkpoints": "auto"})
    best = [max(record["top1"] for record in result.history[: n + 1]) for n in range(4)]
    expected = [n + 1 for n in range(4) if n == 0 or best[n] > best[n - 1]]
    assert json.loads((out / "best_epochs.json").read_text()) == expected
    assert first == [epoch for epoch in expected if epoch <= 2]


def test_the_callback_ends_the_run_when_the_goal_is_reached(mine):
    changes = {"Global.epochs": 3, "Callbacks": [{"BestEpochs": {"goal": 0.01}}]}
    assert len(ppcls.train(mine, changes=changes).history) == 1
    assert "top1 reached 0.01" in (mine.parent / "out" / "train.log").read_text()


def test_the_metric_is_the_mean_probability_of_the_answers(mine, digits):
    result = ppcls.train(mine)
    answers = result.load_predictor().predict(str(digits / "val"))
    expected = np.mean([answer["scores"][0] for answer in answers])
    assert result.metrics["Confidence"] == pytest.approx(expected, abs=1e-4)
    records = [json.loads(line) for line in (mine.parent / "out" / "metrics.jsonl").read_text().splitlines()]
    assert all(0.1 <= record["Confidence"] <= 1 for record in records)


def test_the_loss_is_one_hinge_per_image(mine):
    ppcls.load_config(mine)
    logits = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    labels = np.array([0, 3, 1, 1, 2])
    losses = ppcls.LOSSES.build("Margin")(paddle.to_tensor(logits), paddle.to_tensor(labels)).numpy()
    margins = np.maximum(0, 1 + logits - logits[np.arange(5), labels][:, None])
    margins[np.arange(5), labels] = 0
    np.testing.assert_allclose(losses, margins.sum(axis=1) / 4, rtol=1e-5)


def test_the_table_of_global_has_keys_and_their_defaults():
    section = (ROOT / "docs" / "training.md").read_text().partition("## Keys of `Global`")[2].partition("\n## ")[0]
    cells = " ".join(line.split("|")[1] for line in section.splitlines() if line.startswith("| `"))
    found = re.findall(r"`(\w+)`(?: \((.*?)\))?(?:,| )", cells)
    defaults = GlobalSection().model_dump()
    assert len(found) > 10
    assert all(yaml.safe_load((default or "null").strip("`")) == defaults[name] for name, default in found)
