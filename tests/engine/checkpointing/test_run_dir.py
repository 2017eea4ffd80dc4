"""The folder of a run: what is kept there, who may write there, and a disk that is full."""

import pytest

from tests.helpers.runs import digests, records, start, wait_for_save


def test_only_the_last_epochs_are_kept(recipe, run):
    run("train", "-c", recipe, "-o", "Global.epochs=4", "Global.keep_checkpoints=2", "Global.eval_during_train=false")
    kept = {p.name.split(".")[0] for p in (recipe.parent / "out").glob("*.pdparams")}
    assert kept == {"latest", "epoch_3", "epoch_4"}


def test_a_checkpoint_that_cannot_be_written_keeps_the_last_one(recipe, run):
    run("train", "-c", recipe, "-o", "Arch.dim=64", "Global.print_batch_step=1000")
    out = recipe.parent / "out"
    before = digests(out)
    size = (out / "latest.pdparams").stat().st_size - 1
    assert size > max((out / name).stat().st_size for name in ("train.log", "config.yaml", "latest.pdstates"))
    changes = ("Arch.dim=64", "Global.epochs=4", f"Global.checkpoints={out}/latest", "Global.print_batch_step=1000")
    done = run("train", "-c", recipe, "-o", *changes, code=2, limit=size)
    assert "cannot write the checkpoint" in done.stderr
    assert f"resume with the same command and -o Global.checkpoints={out}/latest" in done.stderr
    assert digests(out) == before
    run("train", "-c", recipe, "-o", *changes)


def test_a_new_run_in_a_used_folder_keeps_the_old_one(recipe, run):
    run("train", "-c", recipe)
    out = recipe.parent / "out"
    before, lines = digests(out), records(out)
    (out / "notes.txt").write_text("mine")
    run("export", out)
    weights = f"Global.pretrained_model={out}/best_model"
    done = run("train", "-c", recipe, "-o", "Global.epochs=1", weights)
    assert "held another run" in done.stderr
    assert digests(out / "previous_1") == before
    assert records(out / "previous_1") == lines
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "previous_1" / "inference" / "inference.yml").exists()
    assert not (out / "inference").exists()  # of weights that are not there any more
    assert not (out / "epoch_2.pdparams").exists()
    run("train", "-c", recipe, "-o", "Global.epochs=3", f"Global.checkpoints={out}/previous_1/latest")
    assert (out / "previous_2").is_dir()


def test_a_folder_takes_one_run_at_a_time(recipe, run):
    out = recipe.parent / "out"
    first = start(recipe, "Global.epochs=200", "Global.save_every_steps=1")
    wait_for_save(first, out)
    for position in ("Global.checkpoints=auto", "Global.seed=1"):
        done = run("train", "-c", recipe, "-o", "Global.epochs=200", position, code=2)
        assert f"process {first.pid} on " in done.stderr
        assert "is training in this folder" in done.stderr
    assert not list(out.glob("previous_*"))
    first.kill()
    first.communicate()
    # At once, although its data workers may outlive it for a moment.
    run("train", "-c", recipe, "-o", "Global.epochs=1", "Global.checkpoints=auto")


@pytest.mark.parametrize("size", [1000, 2500])
def test_a_full_disk_outside_checkpoints_is_said(recipe, run, size):
    done = run("train", "-c", recipe, "-o", "Global.print_batch_step=1", code=2, limit=size)
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
