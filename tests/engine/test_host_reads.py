"""What a training step fetches from the device, and what follows from fetching it later."""

import json
import re
import sys

import paddle
import pytest

from ppcls.engine import loop
from tests.helpers.runs import records, train

READS = ("numpy", "item", "tolist", "cpu", "__array__", "__float__", "__int__", "__bool__", "__index__")
WEIGHTED = "Loss.Train=[{CELoss: {class_weights: [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]}}]"

WITH_FOCAL_LOSS = "Loss.Train=[{{CELoss: {{class_weights: {}}}}}, {{FocalLoss: {{}}}}]"


@pytest.fixture
def reads(monkeypatch):
    """Return what is read of tensors in each training step of a run, by the number of the step."""
    steps, now = [], []

    def counted(name):
        original = getattr(paddle.Tensor, name)

        def read(tensor, *arguments, **options):
            # Metrics check the values of labels where that costs nothing, that is on CPUs only.
            if sys._getframe(1).f_code.co_name != "read_batch":
                now.append(name)
            return original(tensor, *arguments, **options)

        return read

    for name in READS:
        monkeypatch.setattr(paddle.Tensor, name, counted(name))
    step = loop.train_step

    def counted_step(*arguments):
        now.clear()
        step(*arguments)
        steps.append(list(now))

    monkeypatch.setattr(loop, "train_step", counted_step)
    return steps


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("Global.update_freq=2", "EMA.decay=0.9", "Optimizer.clip_norm=0.5", WEIGHTED),
        ("Global.update_freq=2", WITH_FOCAL_LOSS.format([1] * 10)),
        ("Optimizer.name=Lion", WEIGHTED, "DataLoader.Train.dataset.batch_transform_ops=[{MixupOperator: {alpha: 1}}]"),
    ],
    ids=["plain", "accumulated", "accumulated, two losses", "weighted"],
)
def test_an_ordinary_step_fetches_nothing(recipe, reads, changes):
    train(recipe, "Global.epochs=1", "Global.print_batch_step=3", *changes)
    assert len(reads) == 8
    for number, names in enumerate(reads):
        assert bool(names) == (number % 3 == 0), (number, names)  # where a log line is due


def test_losses_that_cannot_be_accumulated_are_refused_before_anything_is_saved(recipe):
    """Their weights are looked at where losses are fetched."""
    changes = ("Global.update_freq=2", WITH_FOCAL_LOSS.format([1, 2] * 5), "Global.print_batch_step=1000")
    said = train(recipe, *changes, code=2).stderr
    assert "Global.update_freq: cannot be more than 1 with several losses of which one has class_weights" in said
    assert not list((recipe.parent / "out").glob("*.pdparams"))


def test_log_lines_do_not_depend_on_how_often_losses_are_fetched(recipe):
    train(recipe, "Global.print_batch_step=1", "Global.output_dir=often")
    train(recipe, "Global.print_batch_step=5", "Global.output_dir=seldom")
    train(recipe, "Global.print_batch_step=1000", "Global.output_dir=once")
    often, seldom, once = (records(recipe.parent / name) for name in ("often", "seldom", "once"))
    for fewer in (seldom, once):
        assert [record for record in often if record in fewer] == fewer
        assert len(fewer) < len(often)
        ends = [[r for r in rows if r["kind"] == "train"][-1] for rows in (often, fewer)]
        assert ends[0] == ends[1]  # the averages over the last epoch


RUINING = """
import math
import ppcls

@ppcls.CALLBACKS.register
class Ruins:
    def on_step(self, run):
        if run.state.batch == 3:
            weight = run.state.model.parameters()[-1]
            weight.set_value(weight * math.nan)
"""


@pytest.fixture
def ruined(recipe, tmp_path):
    """Return a recipe, and changes of it with which the weights are not finite after the third batch."""
    parts = tmp_path / "parts.py"
    parts.write_text(RUINING)
    return recipe, (f"Global.imports=[{parts}]", "Callbacks=[{Ruins: {}}]", "Global.print_batch_step=100")


@pytest.mark.parametrize("frequency, update", [(1, 4), (2, 2), (3, 2)])
def test_the_first_loss_that_is_not_finite_is_named_at_the_end_of_the_epoch(ruined, frequency, update):
    recipe, changes = ruined
    said = train(recipe, *changes, f"Global.update_freq={frequency}", code=2).stderr
    assert re.search(rf"the loss is nan at epoch 1, batch 4/8 \(update {update}, learning rate ", said)
    assert "[Avg]" not in said
    assert not list((recipe.parent / "out").glob("*.pdparams"))


def test_before_a_save_losses_are_looked_at(ruined):
    recipe, changes = ruined
    said = train(recipe, *changes, "Global.save_every_steps=2", code=2).stderr
    assert "the loss is nan at epoch 1, batch 4/8" in said
    states = json.loads((recipe.parent / "out" / "latest.pdstates").read_text())
    assert states["batch"] == 2  # the one before
