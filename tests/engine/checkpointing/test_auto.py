"""``Global.checkpoints=auto``: the same command starts a run and continues it."""

import json
import re
import shutil
import time

import pytest
import yaml

from ppcls.engine.checkpointing import file_set
from tests.helpers.recipes import write_recipe
from tests.helpers.runs import LONG, digests, finish, flip_bit, records, saves, start, train


def test_a_full_disk_ends_the_run_with_auto_too(recipe, run):
    changes = ("Arch.dim=64", "Global.checkpoints=auto", "Global.print_batch_step=1000")
    run("train", "-c", recipe, "-o", *changes)
    out = recipe.parent / "out"
    before = digests(out)
    size = (out / "latest.pdparams").stat().st_size - 1
    more = (*changes, "Global.epochs=4")
    done = run("train", "-c", recipe, "-o", *more, code=2, limit=size)
    assert "cannot write the checkpoint" in done.stderr
    assert "make room, then resume with the same command" in done.stderr
    assert "Traceback" not in done.stderr
    assert digests(out) == before
    run("train", "-c", recipe, "-o", *more)


@pytest.fixture(scope="module")
def auto(digits, tmp_path_factory):
    """Return a run of 4 epochs: its recipe, its folder and the arguments that made it."""
    recipe = write_recipe(digits, tmp_path_factory.mktemp("auto"))
    changes = [*LONG, "Global.checkpoints=auto"]
    train(recipe, *changes)
    return recipe, recipe.parent / "out", changes


@pytest.fixture
def copied(auto, tmp_path):
    """Return the run's recipe, a copy of its folder and the arguments that continue it there."""
    recipe, out, changes = auto
    shutil.copytree(out, tmp_path / "copy")
    return recipe, tmp_path / "copy", [*changes, f"Global.output_dir={tmp_path}/copy"]


def test_auto_starts_and_continues_by_the_same_command(recipe, auto, run):
    out = recipe.parent / "out"
    for lines in (1, 6):
        process = start(recipe, *auto[2])
        while process.poll() is None and not (saves(out) and len(records(out)) >= lines):
            time.sleep(0.002)
        process.kill()
        assert finish(process)[0] == -9
    assert "resuming from" in train(recipe, *auto[2]).stderr
    assert digests(out) == digests(auto[1])
    assert records(out) == records(auto[1])
    assert not (out / "previous_1").exists()
    assert "training is done" in run("train", "-c", recipe, "-o", *auto[2]).stderr


def test_auto_refuses_a_run_by_another_recipe(copied, run):
    recipe, out, changes = copied
    before = digests(out)
    others = ("Optimizer.lr.learning_rate=0.5", "DataLoader.Train.dataset.transform_ops.1.Pad.padding=1")
    done = run("train", "-c", recipe, "-o", *changes, *others, "Global.epochs=5", code=2)
    assert f"{out} holds a run by another recipe:" in done.stderr
    assert "\n  Optimizer.lr.learning_rate was 0.01 and is 0.5 (-o Optimizer.lr.learning_rate=0.5)\n" in done.stderr
    assert "DataLoader.Train.dataset.transform_ops was" in done.stderr
    assert "Global.epochs was" not in done.stderr
    assert "Undo these changes to continue the run, choose another Global.output_dir, or move" in done.stderr
    assert digests(out) == before
    controls = ("Global.print_batch_step=3", "DataLoader.Train.loader.num_workers=1", "Global.save_interval=0")
    run("train", "-c", recipe, "-o", *changes, *controls)


def test_a_run_of_a_version_that_did_not_know_a_setting_continues_where_nobody_sets_it(copied, run):
    recipe, out, changes = copied
    for path in out.glob("*.pdstates"):
        states = json.loads(path.read_text())
        del states["config"]["Global"]["freeze"], states["config"]["Arch"]["use_sync_bn"]
        states[file_set.DIGEST] = file_set.states_digest(states)
        path.unlink()  # it shares its content with others
        path.write_text(json.dumps(states))
    done = run("train", "-c", recipe, "-o", *changes, "Global.freeze=[stem]", code=2)
    assert "another recipe:\n  Global.freeze was None and is ['stem'] (-o Global.freeze=[stem])\nUndo" in done.stderr
    done = run("train", "-c", recipe, "-o", *changes)
    assert "resuming from" in done.stderr or "training is done" in done.stderr
    assert "when this run was saved" not in done.stderr


@pytest.mark.parametrize("name", ["latest.pdparams", "latest.pdopt", "latest.pdstates"])
def test_auto_uses_the_newest_whole_checkpoint_and_says_so(copied, auto, run, name):
    recipe, out, changes = copied
    flip_bit(out / name)
    (out / "epoch_4.pdopt").unlink()
    flip_bit(out / "best_model.pdparams")
    done = run("train", "-c", recipe, "-o", *changes)
    assert re.search(
        rf"{re.escape(str(out / name))}: damaged.*; continuing from {out}/epoch_\d, the newest", done.stderr
    )
    assert f"{out}/epoch_4.pdopt: missing; continuing from {out}/epoch_" in done.stderr
    assert digests(out) == digests(auto[1])
    assert records(out) == records(auto[1])


def test_auto_does_not_start_again_where_all_is_damaged(copied, run):
    recipe, out, changes = copied
    for path in out.glob("*.pdopt"):
        path.write_bytes(b"")
    done = run("train", "-c", recipe, "-o", *changes, code=2)
    assert f"no checkpoint in {out} is whole: " in done.stderr
    assert "To start again, move" in done.stderr


def test_a_damaged_checkpoint_named_by_the_user_is_an_error_that_names_whole_ones(copied, run):
    recipe, out, changes = copied
    for name in ("latest.pdopt", "epoch_3.pdparams", "best_model.pdstates"):
        flip_bit(out / name)
    done = run("train", "-c", recipe, "-o", *changes, f"Global.checkpoints={out}/latest", code=2)
    assert f"{out}/latest.pdopt: damaged; whole checkpoints there: {out}/epoch_4, {out}/epoch_2\n" in done.stderr


def test_auto_knows_the_weights_that_the_run_began_with(recipe, auto, run, tmp_path):
    weights = tmp_path / "w.pdparams"
    weights.write_bytes((auto[1] / "best_model.pdparams").read_bytes())
    changes = ("Global.checkpoints=auto", f"Global.pretrained_model={weights}")
    run("train", "-c", recipe, "-o", *changes)
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["start"]["weights"] == str(weights)
    weights.rename(tmp_path / "moved.pdparams")
    moved = ("Global.checkpoints=auto", f"Global.pretrained_model={tmp_path}/moved")
    assert "training is done" in run("train", "-c", recipe, "-o", *moved).stderr
    assert "training is done" in run("train", "-c", recipe, "-o", *changes).stderr, "they are not needed any more"
    (tmp_path / "moved.pdparams").write_bytes((auto[1] / "epoch_2.pdparams").read_bytes())
    done = run("train", "-c", recipe, "-o", *moved, code=2)
    others = f"it began with the weights {weights}, and {tmp_path}/moved (-o Global.pretrained_model=/"
    assert others in done.stderr


def test_evaluation_takes_the_weights_named_beside_auto(auto, run):
    recipe, out, _ = auto
    done = run("eval", "-c", recipe, "-o", "Global.checkpoints=auto", f"Global.pretrained_model={out}/best_model")
    assert f"weights: {out}/best_model" in done.stderr
    done = run("eval", "-c", recipe, "-o", "Global.checkpoints=auto", code=2)
    assert "no weights to evaluate" in done.stderr


AUTO = "Global.checkpoints=auto"


def test_a_branch_from_an_earlier_epoch_is_what_auto_continues(recipe, run):
    out = recipe.parent / "out"
    run("train", "-c", recipe, "-o", "Global.epochs=5", "Global.keep_checkpoints=null")
    branch = ("Optimizer.lr.learning_rate=0.001", "Global.keep_checkpoints=1")
    run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/epoch_2", *branch)
    assert (out / "epoch_3.pdstates").exists()  # the newest of this run
    done = run("train", "-c", recipe, "-o", "Global.epochs=4", AUTO, *branch)
    assert f"resuming from {out}/latest: epoch 4" in done.stderr


def test_auto_goes_on_past_a_damaged_commit(recipe, run):
    run("train", "-c", recipe)
    (recipe.parent / "out" / "latest.commit").write_text("damaged")
    run("train", "-c", recipe, "-o", AUTO, "Global.epochs=3")
    assert json.loads((recipe.parent / "out" / "latest.pdstates").read_text())["epoch"] == 3


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
