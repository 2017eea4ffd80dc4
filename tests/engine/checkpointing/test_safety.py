"""What a run must not lose, mix up or pass over, whatever happens to its files, its numbers or its process."""

import json
import os
import pickle
import signal
import subprocess
import sys

import numpy as np
import yaml

from ppcls.utils import atomic
from tests.engine.test_stages import staged  # noqa: F401  a fixture
from tests.helpers.recipes import ROOT

AUTO = "Global.checkpoints=auto"


def finite(path):
    return all(np.isfinite(array).all() for array in pickle.loads(path.read_bytes()).values())


def epoch_of(prefix):
    return json.loads(prefix.with_name(prefix.name + ".pdstates").read_text())["epoch"]


def spoil(path):
    """Flip bits of a file in place of the file, not of what is linked to it."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x40
    path.unlink()
    path.write_bytes(content)


def test_a_branch_from_an_earlier_epoch_is_what_auto_continues(recipe, run):
    out = recipe.parent / "out"
    run("train", "-c", recipe, "-o", "Global.epochs=5", "Global.keep_checkpoints=null")
    branch = ("Optimizer.lr.learning_rate=0.001", "Global.keep_checkpoints=1")
    run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/epoch_2", *branch)
    assert (out / "epoch_3.pdstates").exists()  # the newest of this run
    done = run("train", "-c", recipe, "-o", "Global.epochs=4", AUTO, *branch)
    assert f"resuming from {out}/latest: epoch 4" in done.stderr


def test_the_best_model_is_the_one_that_is_named(recipe, run):
    out = recipe.parent / "out"
    run("train", "-c", recipe, "-o", "Global.epochs=6", "Global.best_metric=loss", "Global.keep_checkpoints=null")
    still = ("Optimizer.lr={name: ConstLR, learning_rate: 1.0}", "Global.best_metric=loss")
    done = run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/epoch_2", *still)
    named = json.loads(done.stdout)["epoch"]
    assert epoch_of(out / "best_model") == named


def test_damaged_weights_do_not_start_a_stage(staged, run):  # noqa: F811
    run("train", "-c", staged, "--stage", "first")
    spoil(staged.parent / "out" / "first" / "best_model.pdparams")
    assert "damaged" in run("train", "-c", staged, code=2).stderr


def test_damaged_weights_are_not_evaluated(recipe, run):
    run("train", "-c", recipe)
    weights = recipe.parent / "out" / "best_model"
    spoil(weights.with_name("best_model.pdparams"))
    assert "damaged" in run("eval", "-c", recipe, "-o", f"Global.pretrained_model={weights}", code=2).stderr


def test_weights_that_are_not_finite_are_not_saved(recipe, run):
    ruin = (
        "Optimizer={name: SGD, lr: {name: Piecewise, decay_epochs: [1.5], values: [0.01, 3.4e38]}}",
        "Loss.Train=[{CELoss: {weight: 1000}}]",
        "Global.save_every_steps=1",
    )
    run("train", "-c", recipe, "-o", *ruin, code=2)
    assert finite(recipe.parent / "out" / "latest.pdparams")


def test_auto_goes_on_past_a_damaged_commit(recipe, run):
    run("train", "-c", recipe)
    (recipe.parent / "out" / "latest.commit").write_text("damaged")
    run("train", "-c", recipe, "-o", AUTO, "Global.epochs=3")


def test_accumulated_batches_with_class_weights_are_one_large_batch(recipe, run):
    gmlp = "Arch={name: gMLP, class_num: 10, dim: 16, depth: 2, image_size: 16, patch_size: 4}"
    sgd = "Optimizer={name: SGD, lr: {name: ConstLR, learning_rate: 0.1}}"
    loss = "Loss.Train=[{CELoss: {class_weights: [10, 1, 1, 1, 1, 0.1, 1, 1, 1, 5]}}]"
    for name, size, frequency in (("large", 32, 1), ("parts", 8, 4)):
        batches = (f"DataLoader.Train.sampler.batch_size={size}", f"Global.update_freq={frequency}")
        run("train", "-c", recipe, "-o", gmlp, sgd, loss, *batches, f"Global.output_dir={recipe.parent}/{name}")
    large, parts = (
        pickle.loads((recipe.parent / name / "latest.pdparams").read_bytes()) for name in ("large", "parts")
    )
    for name, array in large.items():
        np.testing.assert_allclose(parts[name], array, atol=2e-6, err_msg=name)


# A slow disk: the signal comes while the last checkpoint of the first stage is being written.
SLOW = """
import os, signal, sys, time
from ppcls.utils import environment
environment.import_paddle()
from ppcls.cli import main
from ppcls.utils import atomic
to_disk, sent = atomic.fsync, []
def slow(path):
    to_disk(path)
    earlier = os.path.join(os.path.dirname(path), "epoch_1.pdstates")
    if "first/latest" in str(path) and os.path.exists(earlier) and not sent:
        sent.append(os.kill(os.getpid(), signal.SIGTERM))
        time.sleep(0.5)
atomic.fsync = slow
sys.exit(main(["train", "-c", sys.argv[1]]))
"""


def test_a_signal_at_the_end_of_a_stage_is_obeyed(staged):  # noqa: F811
    values = yaml.safe_load(staged.read_text())
    values["Global"]["save_every_minutes"] = None
    staged.write_text(yaml.safe_dump(values))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", SLOW, str(staged)], capture_output=True, text=True, env=environment, cwd=staged.parent
    )
    assert "stopping after this batch" in done.stderr, done.stderr
    assert done.returncode == 128 + signal.SIGTERM


def test_auto_takes_what_changes_no_weight(recipe, run):
    run("train", "-c", recipe)
    root = yaml.safe_load(recipe.read_text())["DataLoader"]["Train"]["dataset"]["image_root"]
    (recipe.parent / "data").symlink_to(root)
    moved = f"DataLoader.Train.dataset.image_root={recipe.parent}/data"
    done = run("train", "-c", recipe, "-o", AUTO, "Global.epochs=3", "Arch.recompute=true", moved)
    assert "Arch.recompute was None when this run was saved, and is True now" in done.stderr


def test_a_teacher_with_other_weights_is_another_run(recipe, run):
    run("train", "-c", recipe, "-o", "Global.output_dir=teacher", "Global.epochs=1")
    arch = "name: ConvMixer, dim: 16, depth: 2, kernel_size: 3, patch_size: 4, class_num: 10"
    taught = f"Distillation={{teacher: {{{arch}, pretrained: teacher/best_model}}}}"
    run("train", "-c", recipe, "-o", taught, "Global.epochs=1", AUTO)
    run("train", "-c", recipe, "-o", "Global.output_dir=teacher", "Global.epochs=1", "Global.seed=7")
    done = run("train", "-c", recipe, "-o", taught, AUTO, code=2)
    assert "its teacher had the weights teacher/best_model" in done.stderr


def test_a_reader_that_is_slow_to_finish_a_set_leaves_the_next_one_alone(tmp_path):
    """It read a commit, and renames when the writer is at its next set already."""
    prefix = tmp_path / "latest"

    def write(text):
        atomic.write_set(prefix, {".pdparams": lambda path: path.write_text(text)}, {"text": text})

    write("first")
    states = (tmp_path / "latest.pdstates").read_text()
    token = json.loads(states)["token"]
    (tmp_path / "latest.commit").write_text(states)  # what the slow reader has seen
    write("second")
    (tmp_path / "latest.pdparams.0badf00d.tmp").write_text("half of the third")
    (tmp_path / "latest.commit").write_text(states)
    atomic.finish_commit(prefix)
    assert token != "0badf00d"
    assert (tmp_path / "latest.pdparams").read_text() == "second"
