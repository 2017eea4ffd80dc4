"""A run that is finished, and started again."""

import json

import pytest


def contents(folder):
    """Return bytes and time of each file of a run but its log."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "train.log")
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize("resumed", ["auto", "out/latest"])
def test_a_finished_run_stays_as_it_is(recipe, run, resumed):
    changes = ("-o", "Global.epochs=2", "Global.save_interval=1", "Global.use_visualdl=True", "Global.report=True")
    first = run("train", "-c", recipe, *changes)
    out = recipe.parent / "out"
    before = contents(out)
    assert {"finished.json", "report.html", "best_model.pdstates", "epoch_2.pdstates", "config.yaml"} <= before.keys()
    again = run("train", "-c", recipe, *changes, f"Global.checkpoints={resumed}")
    assert contents(out) == before
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert "nothing to train: the checkpoint is at epoch 2, Global.epochs is 2" in (out / "train.log").read_text()
    assert "was finished before, nothing was trained" in again.stderr


def test_a_run_that_ended_early_stays_as_it_is(recipe, run):
    early = "Global.early_stopping={patience: 1, min_delta: 2}"  # no accuracy is better by two
    changes = ("-o", "Global.epochs=9", early, "Global.report=True", "Global.checkpoints=auto")
    first = run("train", "-c", recipe, *changes)
    before = contents(recipe.parent / "out")
    again = run("train", "-c", recipe, *changes)
    assert contents(recipe.parent / "out") == before
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert "early stopping after epoch 2" in first.stderr
    assert "early stopping after epoch 2" in again.stderr


def test_what_is_not_finished_is_finished(recipe, run):
    """As of a run that was killed after its last checkpoint, before its report."""
    changes = ("-o", "Global.epochs=1", "Global.report=True", "Global.checkpoints=auto")
    run("train", "-c", recipe, *changes)
    out = recipe.parent / "out"
    for name in ("finished.json", "report.html", "best_model.pdstates"):
        (out / name).unlink()
    run("train", "-c", recipe, *changes)
    assert {"finished.json", "report.html", "best_model.pdstates"} <= contents(out).keys()
    before = contents(out)
    run("train", "-c", recipe, *changes, "Global.epochs=2")
    after = contents(out)
    assert json.loads((out / "finished.json").read_text())["result"]["epoch"] in (1, 2)
    assert after["finished.json"] != before["finished.json"]
    assert json.loads((out / "latest.pdstates").read_text())["epoch"] == 2


def test_a_changed_recipe_is_noted_once(recipe, run):
    changes = ("-o", "Global.epochs=1", "Global.checkpoints=auto")
    run("train", "-c", recipe, *changes)
    run("train", "-c", recipe, *changes, "Global.report=True")
    before = contents(recipe.parent / "out")
    run("train", "-c", recipe, *changes, "Global.report=True")
    assert contents(recipe.parent / "out") == before


@pytest.mark.parametrize("checkpoint", ["latest", "epoch_1"])
def test_nothing_to_train_from_a_checkpoint_elsewhere_or_earlier(recipe, run, checkpoint):
    changes = ("-o", "Global.save_interval=1", f"Global.checkpoints=out/{checkpoint}")
    run("train", "-c", recipe, "-o", "Global.epochs=2", "Global.save_interval=1")
    if checkpoint == "latest":
        run("train", "-c", recipe, *changes, "Global.epochs=2", "Global.output_dir=other")
    else:
        run("train", "-c", recipe, *changes, "Global.epochs=1")
    assert not (recipe.parent / "other" / "finished.json").exists()
