"""``AMP`` on a CPU: products in bfloat16 where the processor and the CPU operators have it."""

import re

import numpy as np
import pytest

from ppcls.arch import ops
from ppcls.utils import environment
from ppcls.weights import restricted_load
from tests.helpers.runs import digests, records

ROUNDS = "AMP: products are computed in bfloat16, all else in float32"
NO_EFFECT = "AMP has no effect: "
# As PaddleClas's recipes write it.
PADDLECLAS = (
    "AMP={use_amp: true, use_fp16_test: false, scale_loss: 128.0, use_dynamic_loss_scaling: true, use_promote: false, "
    "level: O1}"
)
needs_bfloat16 = pytest.mark.skipif(
    not (ops.available() and environment.has_bfloat16()), reason="needs the CPU operators and instructions for bfloat16"
)


@needs_bfloat16
def test_training_and_evaluation(recipe, run):
    """A run learns as much as in float32, evaluates in bfloat16, and so does ``ppcls eval``."""
    epochs = "Global.epochs=10"
    run("train", "-c", recipe, "-o", epochs)
    done = run("train", "-c", recipe, "-o", epochs, PADDLECLAS, "Global.output_dir=half")
    assert done.stderr.count(ROUNDS) == 1
    assert NO_EFFECT not in done.stderr
    exact, half = (max(r["top1"] for r in records(recipe.parent / f) if "top1" in r) for f in ("out", "half"))
    assert exact > 0.6  # of ten classes
    assert abs(exact - half) <= 0.15  # six of 40 images
    float32, bfloat16 = (restricted_load(recipe.parent / f / "latest.pdparams") for f in ("out", "half"))
    assert all(np.asarray(value).dtype == np.float32 for value in bfloat16.values())
    assert any((np.asarray(float32[name]) != np.asarray(value)).any() for name, value in bfloat16.items())

    weights = "Global.pretrained_model=half/latest"
    said = [run("eval", "-c", recipe, "-o", weights, *changes).stderr for changes in ((), (PADDLECLAS,))]
    losses = [re.search(r"loss[ =:]+([\d.]+)", text) for text in said]
    assert all(losses), said
    assert losses[0].group(1) != losses[1].group(1)
    assert float(losses[0].group(1)) == pytest.approx(float(losses[1].group(1)), rel=0.05)


@needs_bfloat16
def test_a_run_is_continued_exactly(recipe, run):
    changes = (PADDLECLAS, "Global.epochs=3")
    run("train", "-c", recipe, "-o", *changes)
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=again")
    whole = digests(recipe.parent / "out")
    assert digests(recipe.parent / "again") == whole
    run("train", "-c", recipe, "-o", PADDLECLAS, "Global.epochs=1", "Global.output_dir=parts")
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=parts", "Global.checkpoints=parts/latest")
    assert digests(recipe.parent / "parts") == whole


@pytest.mark.parametrize(
    ("change", "bfloat16", "reason"),
    [
        ("AMP={level: O1, dtype: float16}", True, "CPUs do not compute in float16; use AMP.dtype: auto"),
        ("AMP={level: O1}", False, "this processor has no instructions for bfloat16"),
        ("AMP={level: O1}", True, "it needs the project's CPU operators (CPU operators: Paddle's own (set by the user"),
    ],
)
def test_float32_where_there_is_no_half_precision(recipe, run, monkeypatch, change, bfloat16, reason):
    monkeypatch.setattr(environment, "has_bfloat16", lambda: bfloat16)
    choice = {"PPCLS_CPU_OPS": "plain" if "needs" in reason else "auto"}
    run("train", "-c", recipe, "-o", "Global.epochs=1", environment=choice)
    changes = ("Global.epochs=1", change, "Global.output_dir=half")
    done = run("train", "-c", recipe, "-o", *changes, environment=choice)
    assert done.stderr.count(NO_EFFECT + reason) == 1
    assert NO_EFFECT + reason in (recipe.parent / "half" / "train.log").read_text()
    assert ROUNDS not in done.stderr
    assert digests(recipe.parent / "half") == digests(recipe.parent / "out")


FOREIGN = """
import paddle
import ppcls

@ppcls.BACKBONES.register
class OfTheirOwn(paddle.nn.Layer):
    def __init__(self, class_num=10):
        super().__init__()
        self.head = paddle.nn.Linear(768, class_num)

    def forward(self, x):
        return self.head(x.flatten(1))
"""


@needs_bfloat16
@pytest.mark.parametrize("to_static", [True, False])
def test_float32_where_paddle_computes(recipe, run, tmp_path, to_static):
    """A static graph and other people's models do not call the CPU operators."""
    model = tmp_path / "model.py"
    model.write_text(FOREIGN)
    other = ("Arch={name: OfTheirOwn, class_num: 10}", f"Global.imports=[{model}]")
    changes = ("Global.epochs=1", *(["Global.to_static=true"] if to_static else other))
    run("train", "-c", recipe, "-o", *changes)
    done = run("train", "-c", recipe, "-o", *changes, PADDLECLAS, "Global.output_dir=half")
    why = "with Global.to_static, Paddle's own" if to_static else "the model computes with Paddle's own layers"
    assert done.stderr.count(NO_EFFECT + why) == 1
    assert ROUNDS not in done.stderr
    assert digests(recipe.parent / "half") == digests(recipe.parent / "out")
    weights = "Global.pretrained_model=half/latest"
    assert NO_EFFECT + why in run("eval", "-c", recipe, "-o", *changes, weights, PADDLECLAS).stderr
