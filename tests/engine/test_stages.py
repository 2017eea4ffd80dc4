"""Recipes of several stages, trained by one command as real processes."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from ppcls.utils import atomic
from tests.helpers.recipes import write_staged
from tests.helpers.runs import digests, finish, flip_bit, records, start, train


@pytest.fixture
def staged(digits, tmp_path):
    return write_staged(digits, tmp_path)


@pytest.fixture(scope="module")
def uninterrupted(digits, tmp_path_factory):
    """Return the output folder of a staged run that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return folder / "out", train(write_staged(digits, folder)).stderr


def changes_of(folder):
    """Return when each file below a folder was last written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def wait_for(process, metrics, lines):
    """Wait until a running process has written so many lines of metrics."""
    while process.poll() is None and not (metrics.exists() and len(metrics.read_text().splitlines()) >= lines):
        time.sleep(0.002)
    assert process.poll() is None, "it ended before it could be disturbed"


def test_each_stage_has_its_folder_and_starts_from_the_best_before(uninterrupted):
    out, err = uninterrupted
    for name in ("first", "second"):
        for file in ("train.log", "metrics.jsonl", "config.yaml", "latest.pdparams", "best_model.pdstates"):
            assert (out / name / file).is_file()
    states = json.loads((out / "second" / "latest.pdstates").read_text())
    assert states["start"] == {
        "weights": f"{out}/first/best_model",
        "sha256": json.loads((out / "first" / "best_model.pdstates").read_text())["files"][".pdparams"],
    }
    assert states["epoch"] == 3
    assert {record["lr"] for record in records(out / "second") if record["kind"] == "train"} == {1e-3}
    assert "stage second (2 of 2), in" in (out / "first" / "train.log").read_text()
    summary = [line for line in err.splitlines() if ": best top1 0." in line][-2:]
    assert "stage first: best top1 0." in summary[0]
    assert "stage second: best top1 0." in summary[1]


def test_killed_and_interrupted_in_both_stages_and_continued_equals_uninterrupted(staged, uninterrupted):
    """The same command each time: Ctrl-C in the first stage, kill -9 inside epochs of the second, SIGTERM there."""
    out = staged.parent / "out"
    first, second = out / "first" / "metrics.jsonl", out / "second" / "metrics.jsonl"
    for metrics, lines, number in (
        *((first, 2, signal.SIGINT), (second, 1, signal.SIGKILL)),
        *((second, 7, signal.SIGKILL), (second, 9, signal.SIGTERM)),
    ):
        process = start(staged)
        wait_for(process, metrics, lines)
        process.send_signal(number)
        code, err = finish(process)
        assert code == (-number if number == signal.SIGKILL else 128 + number)
        if number != signal.SIGKILL:
            assert err.rstrip().endswith("continue with: the same command")
    assert not (out / "second" / "finished.json").exists()
    before = changes_of(out / "first")
    assert "stage first (1 of 2) was finished before" in train(staged).stderr
    assert changes_of(out / "first") == before
    for name in ("first", "second"):
        assert digests(out / name) == digests(uninterrupted[0] / name)
        assert records(out / name) == records(uninterrupted[0] / name)


def test_finished_stages_are_not_trained_again(staged, run):
    first = run("train", "-c", staged)
    before = changes_of(staged.parent / "out")
    again = run("train", "-c", staged, "-o", "Global.print_batch_step=1", "DataLoader.Train.loader.num_workers=1")
    assert "[Train]" not in again.stderr
    assert "was finished before, nothing was trained: " in again.stderr
    assert again.stderr.splitlines()[-1] == "next: this command with -o Global.output_dir=NEW to train anew"
    assert changes_of(staged.parent / "out") == before
    assert json.loads(again.stdout) == json.loads(first.stdout)
    assert set(json.loads(again.stdout)) == {"first", "second"}
    # Another recipe is refused before anything is trained, whichever stage it is of.
    change = "Stages.1.override.Optimizer.weight_decay=0.5"
    done = run("train", "-c", staged, "-o", change, code=2)
    assert f"out/second holds a run by another recipe:\n  Optimizer.weight_decay was 0.01 and is 0.5 (-o {change})" in (
        done.stderr
    )
    assert changes_of(staged.parent / "out") == before
    # More epochs are no other recipe.
    done = run("train", "-c", staged, "-o", "Stages.1.override.Global.epochs=4")
    assert "[Train][Epoch 4/4]" in done.stderr
    assert "[Train][Epoch 3/4]" not in done.stderr
    # Other best weights of the stage before are other weights to start from.
    weights = staged.parent / "out" / "first" / "latest.pdparams"
    (staged.parent / "out" / "first" / "best_model.pdparams").unlink()
    (staged.parent / "out" / "first" / "best_model.pdparams").write_bytes(weights.read_bytes())
    if (
        digests(staged.parent / "out" / "first")["best_model.pdparams"]
        != (json.loads((staged.parent / "out" / "second" / "latest.pdstates").read_text())["start"]["sha256"])
    ):
        done = run("train", "-c", staged, "-o", "Stages.1.override.Global.epochs=4", code=2)
        assert "out/first/best_model does not hold any more" in done.stderr


def test_one_stage_alone(staged, run):
    out = staged.parent / "out"
    done = run("train", "-c", staged, "--stage", "second", code=2)
    assert "stage second starts from the best weights of stage first, which are not there" in done.stderr
    assert f"{staged}:" in done.stderr
    assert not out.exists()
    run("train", "-c", staged, "--stage", "first", "-o", "Global.epochs=1")
    assert not (out / "second").exists()
    done = run("train", "-c", staged, "--stage", "second", "-o", "Stages.1.override.Global.epochs=1")
    assert json.loads(done.stdout)["second"]["epoch"] == 1
    assert "stage first is not finished: stage second starts from what there is" in done.stderr
    done = run("train", "-c", staged, "--stage", "secnd", code=2)
    assert "unknown stage 'secnd'; did you mean 'second'?" in done.stderr
    weights = "Global.pretrained_model=elsewhere"
    done = run("train", "-c", staged, "--stage", "second", "-o", weights, code=2)
    assert f"-o {weights}: stage second starts from its init; give -o Stages.1.init=..." in done.stderr
    done = run("train", "-c", staged, "-o", "Global.checkpoints=out/first/latest", code=2)
    assert "the recipe has Stages, which continue by themselves" in done.stderr


def test_a_start_that_is_nowhere_is_said_before_the_first_stage(staged, run):
    done = run("train", "-c", staged, "-o", "Stages.1.init=beast", code=2)
    assert (
        "-o Stages.1.init=beast: stage second starts from beast, which is not there (init is one of best" in done.stderr
    )
    assert "[Train]" not in done.stderr
    change = "Stages.1.override.DataLoader.Train.dataset.cls_label_path=nothing.txt"
    done = run("train", "-c", staged, "-o", change, code=2)
    assert "cls_label_path: nothing.txt" in done.stderr
    assert "[Train]" not in done.stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"Global.freeze": ["stm"]}, "Global.freeze[0]: this model has no part 'stm'; did you mean 'stem'?"),
        ({"DataLoader.Eval.dataset.image_root": "nope"}, "DataLoader.Eval: image_root: nope: no such folder"),
    ],
)
def test_what_only_building_a_later_stage_shows_is_said_with_its_place(staged, run, override, message):
    values = yaml.safe_load(staged.read_text())
    values["Stages"] = [{"name": "first"}, {"name": "second", "override": override}]
    staged.write_text(yaml.safe_dump(values))
    line = next(i for i, text in enumerate(staged.read_text().splitlines(), 1) if next(iter(override)) in text)
    done = run("train", "-c", staged, code=2)
    assert re.search(rf"stage second: \S*recipe.yaml:({line}|{line + 1}): {re.escape(message)}", done.stderr), (
        done.stderr
    )
    assert not (staged.parent / "out" / "first" / "latest.pdparams").exists()


def test_another_classifier_only_when_asked(staged, run):
    classes = "Stages.1.override.Arch.class_num=12"
    done = run("train", "-c", staged, "-o", classes, code=2)
    assert f"-o {classes}: stage second has 12 classes and starts from stage first, which has 10" in done.stderr
    assert "[Train]" not in done.stderr
    asked = "Stages.1.override.Global.drop_mismatched_head=true"
    more = ("Global.allow_unused_classes=true", "Global.epochs=1", "Stages.1.override.Global.epochs=1")
    done = run("train", "-c", staged, "-o", classes, asked, *more)
    assert "head" in next(line for line in done.stderr.splitlines() if "first/best_model: loaded" in line)


def test_weights_of_a_stage_are_evaluated_by_its_recipe(staged, uninterrupted, run):
    place = f"Global.output_dir={uninterrupted[0]}"
    done = run("eval", "-c", staged, "-o", place)
    assert f"weights: {uninterrupted[0]}/second/best_model" in done.stderr
    states = json.loads((uninterrupted[0] / "second" / "best_model.pdstates").read_text())
    assert json.loads(done.stdout)["top1"] == pytest.approx(states["best"]["value"])
    done = run("eval", "-c", staged, "--stage", "first", "-o", place)
    assert f"weights: {uninterrupted[0]}/first/best_model" in done.stderr
    weights = f"Global.pretrained_model={uninterrupted[0]}/first/latest"
    done = run("eval", "-c", staged, "--stage", "second", "-o", place, weights)
    assert f"weights: {uninterrupted[0]}/first/latest" in done.stderr
    text = run("config", "-c", staged, "--stage", "second").stdout
    assert yaml.safe_load(text)["Global"]["image_shape"] == [3, 20, 20]
    assert yaml.safe_load(text)["Stages"] is None


def test_python_evaluates_the_last_stage_unless_told(staged):
    from ppcls import evaluate, load_config
    from ppcls.errors import WeightsError

    with pytest.raises(WeightsError, match="out/second/best_model"):
        evaluate(load_config(staged))
    with pytest.raises(WeightsError, match="out/first/best_model"):
        evaluate(load_config(staged), stage="first")
    assert list(staged.parent.iterdir()) == [staged]


def test_an_export_of_the_folder_takes_the_last_stage_unless_told(uninterrupted, run, tmp_path):
    folder, _ = uninterrupted
    change = ("-o", "Global.image_shape=[3, 16, 16]")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    done = run("export", copy, *change)
    assert f"exported {copy}/second/best_model to {copy}/second/inference" in done.stderr
    target = tmp_path / "first"
    done = run("export", folder, "--stage", "first", *change, f"Global.save_inference_dir={target}")
    assert f"exported {folder}/first/best_model to {target}" in done.stderr
    assert "no stage 'third' here; there are first, second" in run("export", folder, "--stage", "third", code=2).stderr


def test_damaged_weights_do_not_start_a_stage(staged, run):
    run("train", "-c", staged, "--stage", "first")
    flip_bit(staged.parent / "out" / "first" / "best_model.pdparams")
    assert "damaged" in run("train", "-c", staged, code=2).stderr


def test_a_signal_at_the_end_of_a_stage_is_obeyed(staged, monkeypatch):
    """The disk is slow: the signal comes while the last checkpoint of the first stage is being written."""
    values = yaml.safe_load(staged.read_text())
    values["Global"]["save_every_minutes"] = None
    staged.write_text(yaml.safe_dump(values))
    fsync, sent = atomic.fsync, []

    def slow(path):
        fsync(path)
        if "first/latest" in str(path) and (Path(path).parent / "epoch_1.pdstates").exists() and not sent:
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
            time.sleep(0.5)

    monkeypatch.setattr(atomic, "fsync", slow)
    assert "stopping after this batch" in train(staged, code=128 + signal.SIGTERM).stderr
