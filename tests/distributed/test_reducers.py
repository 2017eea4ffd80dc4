"""How gradients are added up: during the backward pass, or after it."""

import json
import shutil

import pytest
import yaml

from tests.distributed.jobs import CLOSE, PART, largest_difference

pytestmark = pytest.mark.slow

WEIGHTED = ["Loss.Train=[{CELoss: {class_weights: [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]}}]"]

# Lets Paddle's reducer work during the backward pass, as on a GPU.
_OVERLAPPING = """
import sys
from ppcls.cli import main
from ppcls.engine import setup
setup.is_asynchronous = lambda: True
sys.exit(main(["train", *sys.argv[1:]]))
"""

# Counts the collectives that Python calls in each training step, and whether Paddle's reducer was used.
_COUNTING = """
import json, os, sys
import paddle
from paddle import distributed
from ppcls.engine import loop, setup
if "{overlap}":
    setup.is_asynchronous = lambda: True
calls, steps, wrapped = [], [], []
for name in ("all_reduce", "all_gather", "all_gather_object", "broadcast", "reduce", "barrier"):
    def counted(*arguments, _call=getattr(distributed, name), _name=name, **options):
        calls.append(_name)
        return _call(*arguments, **options)
    setattr(distributed, name, counted)
forward = paddle.DataParallel.forward
def counted_forward(self, *arguments):
    wrapped.append(1)
    return forward(self, *arguments)
paddle.DataParallel.forward = counted_forward
save, step = loop.saving.save_if_due, loop.train_step
def counted_step(run, batch):
    del calls[:], wrapped[:]
    step(run, batch)
    steps.append([len(calls), len(wrapped)])
loop.train_step = counted_step
from ppcls.cli import main
code = main(["train", *sys.argv[1:]])
with open("steps-" + os.environ["PADDLE_TRAINER_ID"] + ".json", "w") as file:
    json.dump(steps, file)
sys.exit(code)
"""

_FREEZING = """
import ppcls

@ppcls.CALLBACKS.register
class FreezesLater:
    def on_epoch(self, run):
        for parameter in run.state.model.parameters()[:2]:
            parameter.stop_gradient = True
"""


@pytest.mark.parametrize("overlap", [True, False])
def test_a_step_has_one_exchange_beside_the_gradients(recipe, job, run, tmp_path, overlap):
    """Also where an empty part of a batch has to be made up for, and where layers are frozen between epochs."""
    script, parts = tmp_path / "counting.py", tmp_path / "parts.py"
    script.write_text(_COUNTING.replace("{overlap}", "yes" if overlap else ""))
    parts.write_text(_FREEZING)
    changes = ("Global.epochs=2", "Global.print_batch_step=3", f"Global.imports=[{parts}]")
    changes += ("Callbacks=[{FreezesLater: {}}]", "Optimizer.lr.learning_rate=0.02")
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=one")
    job("train", recipe, *changes, PART, "Global.output_dir=two", script=script).finish()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < CLOSE
    for rank in range(2):
        steps = json.loads((tmp_path / f"steps-{rank}.json").read_text())
        assert len(steps) == 16
        assert all(wrapped == overlap for _, wrapped in steps)
        ordinary = [calls for number, (calls, _) in enumerate(steps) if number % 8 % 3]
        assert ordinary == [1 if overlap else 2] * 10
        assert all(calls > 2 for number, (calls, _) in enumerate(steps) if number % 8 % 3 == 0)


def test_a_static_graph_equals_one_process(recipe, job, run, tmp_path):
    """Of which some accumulate gradients before Paddle's reducer adds them up."""
    script = tmp_path / "overlapping.py"
    script.write_text(_OVERLAPPING)
    changes = ("Global.to_static=true", "Global.epochs=1", "Global.update_freq=3", "EMA.decay=0.5", *WEIGHTED)
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=one")
    job("train", recipe, *changes, PART, "Global.output_dir=two", script=script).finish()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < CLOSE


_FOREIGN = """
import paddle
import ppcls
from paddle.distributed.fleet.utils import recompute

@ppcls.BACKBONES.register
class Moody(paddle.nn.Layer):
    # Leaves a layer out where there are few images, never uses another, and computes one again for the backward pass.
    def __init__(self, class_num=10):
        super().__init__()
        self.first = paddle.nn.Linear(768, 16)
        self.middle = paddle.nn.Linear(16, 16)
        self.few = paddle.nn.Linear(16, 16)
        self.never = paddle.nn.Linear(16, 16)
        self.last = paddle.nn.Linear(16, class_num)

    def forward(self, images):
        x = recompute(self.middle, self.first(images.flatten(1)))
        return self.last(x if len(images) > 4 else x + self.few(x))
"""


@pytest.mark.parametrize("kind", ["recompute", "foreign"])
def test_models_that_paddles_reducer_cannot_serve(recipe, job, run, tmp_path, kind):
    """The script would let it; the engine does not."""
    script = tmp_path / "overlapping.py"
    script.write_text(_OVERLAPPING)
    changes = ["Global.epochs=1", "Global.eval_during_train=false", *WEIGHTED]
    if kind == "recompute":
        changes.append("Arch.recompute=true")
    else:
        parts = tmp_path / "parts.py"
        parts.write_text(_FOREIGN)
        values = yaml.safe_load(recipe.read_text())
        values["Arch"] = {"name": "Moody", "class_num": 10}
        recipe.write_text(yaml.safe_dump(values))
        changes.append(f"Global.imports=[{parts}]")
    run("train", "-c", recipe, "-o", *changes, "Global.output_dir=one")
    job("train", recipe, *changes, PART, "Global.output_dir=two", script=script).finish()
    assert largest_difference(tmp_path / "one", tmp_path / "two") < CLOSE


# As on a GPU, where what a step exchanged is read after the next one.
_DELAYED = """
import sys
from ppcls.engine import prefetch, reduction
prefetch.is_asynchronous = reduction.is_asynchronous = lambda: True
from ppcls.cli import main
sys.exit(main(["train", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("delayed", [False, True])
def test_a_batch_that_one_process_lacks_ends_all_before_it(recipe, job, tmp_path, digits, delayed):
    script = tmp_path / "delayed.py"
    script.write_text(_DELAYED)
    shutil.copytree(digits, tmp_path / "data")
    victim = (tmp_path / "train_list.txt").read_text().splitlines()[4 * 16 + 12].split()[0]  # of the second process
    (tmp_path / "data" / victim).write_bytes(b"broken")
    changes = (f"DataLoader.Train.dataset.image_root={tmp_path}/data", "DataLoader.Train.sampler.shuffle=false")
    started = job("train", recipe, *changes, PART, script=script if delayed else None)
    _, said = started.finish(code=2)
    assert "lost the others" not in said
    for rank in range(2):
        assert victim in started.log(rank)
    assert "The run up to there is saved" in said
    assert json.loads((tmp_path / "out" / "latest.pdstates").read_text())["batch"] == 4
