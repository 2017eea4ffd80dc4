"""``ppcls train FOLDER``."""

import json
import re
import signal
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from ppcls.arch import spec
from ppcls.engine import load_config
from ppcls.weights import create_model
from ppcls.weights.published import cache_path
from tests.helpers.class_folders import fill
from tests.helpers.forks import Fork
from tests.starter.folders import QUICK, RATE, colours


@pytest.fixture
def photos(tmp_path):
    return colours(tmp_path / "photos")


def test_photos_to_a_run(run, photos, tmp_path):
    done = run("train", "photos", *QUICK, "DataLoader.Train.loader.num_workers=0")
    folder = tmp_path / "output" / "photos"
    best = json.loads(done.stdout)
    assert best["top1"] >= 1 / 3
    said = done.stderr
    assert "photos: 36 images of 3 classes (bee, cat, dog), 12 each; one folder per class" in said
    assert "30 images to train with, 6 to validate with" in said
    assert "epochs: 2 (--epochs)" in said
    assert re.search(r"learning rate: [\d.e-]+ \(", said)
    assert re.search(r"training takes about \d+ seconds", said)
    assert said.splitlines()[-4:] == [
        f"trained: {100 * best['top1']:.2f} % top-1 (epoch {best['epoch']})",
        "  best weights: output/photos/best_model.pdparams",
        "  report:       output/photos/report.html",
        "next: ppcls eval output/photos",
    ]
    curve = json.loads((folder / "lr_range.json").read_text())
    recipe = (folder / "recipe.yaml").read_text()
    assert f"learning_rate: {curve['chosen']}" in recipe
    assert "# --epochs" in recipe
    assert recipe.startswith("# Chosen by `ppcls train photos --epochs 2 ")
    assert "image_root: photos" in recipe
    config = load_config(folder / "recipe.yaml")
    assert config.Global.output_dir == "output/photos"
    assert config.Global.epochs == 2
    assert (folder / "latest.pdparams").is_file()


def test_the_recipe_gives_the_same_run(run, photos, tmp_path):
    run("train", "photos", *QUICK, *RATE)
    recipe = tmp_path / "output" / "photos" / "recipe.yaml"
    run("train", "-c", recipe, "-o", "Global.output_dir=output/again")
    for name in ("latest.pdparams", "best_model.pdparams"):
        first, second = ((tmp_path / "output" / folder / name).read_bytes() for folder in ("photos", "again"))
        assert first == second


def test_a_finished_run_is_not_trained_again(run, photos, tmp_path):
    run("train", "photos", *QUICK, *RATE)
    before = {path.name: path.read_bytes() for path in (tmp_path / "output" / "photos").glob("*.pd*")}
    done = run("train", "photos", *QUICK, *RATE, code=2)
    assert "output/photos holds a finished run of this command (top1 " in done.stderr
    assert "nothing was changed. Its report is output/photos/report.html.\nTo train anew, " in done.stderr
    assert "To train it longer: ppcls train -c output/photos/recipe.yaml -o Global.epochs=N" in done.stderr
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "output" / "photos").glob("*.pd*")}
    done = run("train", "photos", *QUICK, *RATE, "Arch.dim=16", code=2)
    assert "holds a run that was begun by another command:\n  -o was [" in done.stderr
    run("train", "photos", *QUICK, *RATE, "--output", "output/second")
    done = run("train", "-c", "output/photos/recipe.yaml", "-o", "Global.checkpoints=auto")
    assert "\nwas finished before, nothing was trained: " in done.stderr
    weights = {path.name: path.read_bytes() for path in (tmp_path / "output" / "photos").glob("*.pdparams")}
    assert weights == {name: content for name, content in before.items() if name.endswith(".pdparams")}
    further = done.stderr.splitlines()[-1]
    assert further.startswith("next: this command with -o Global.epochs=N to train it longer, or with -o Global.")
    done = run("train", "-c", "output/photos/recipe.yaml", "-o", "Global.checkpoints=auto", "Global.epochs=3")
    assert "\ntrained: " in done.stderr


def test_another_command_in_the_same_folder(run, photos, tmp_path):
    (tmp_path / "output" / "photos").mkdir(parents=True)
    (tmp_path / "output" / "photos" / "train.log").write_text("of somebody else")
    done = run("train", "photos", *QUICK, *RATE, code=2)
    assert "output/photos: already holds files of another run (train.log)" in done.stderr


@pytest.mark.parametrize("number", ["SIGINT", "SIGKILL"])
def test_an_interrupted_run_goes_on(run, photos, tmp_path, number):
    command = ("train", "photos", "--epochs", "15", *QUICK[2:], *RATE, "Global.save_every_minutes=0")
    process = Fork(*command, cwd=tmp_path)
    latest = tmp_path / "output" / "photos" / "latest.pdstates"
    while not latest.exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(getattr(signal, number))
    process.communicate(60)
    assert process.returncode == (130 if number == "SIGINT" else -9)
    done = run(*command)
    assert "resuming from output/photos/latest" in done.stderr
    run("train", "photos", *command[2:], "--output", "output/whole")
    ends = [(tmp_path / "output" / name / "latest.pdparams").read_bytes() for name in ("photos", "whole")]
    assert ends[0] == ends[1]
    assert "holds a finished run" in run(*command, code=2).stderr


def test_interrupted_while_images_are_read(photos, tmp_path):
    process = Fork("train", "photos", *QUICK, cwd=tmp_path)  # with a range test
    while not (tmp_path / "output" / "photos" / "train_list.txt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(60)
    assert process.returncode == 130
    assert err.endswith("stopped\n")
    assert not (tmp_path / "output" / "photos" / "recipe.yaml").exists()


def test_images_that_were_added_are_said(run, photos, tmp_path):
    process = Fork("train", "photos", "--epochs", "40", *QUICK[2:], *RATE, cwd=tmp_path)
    latest = tmp_path / "output" / "photos" / "latest.pdstates"
    while not latest.exists() and process.poll() is None:
        time.sleep(0.01)
    process.terminate()
    process.communicate(60)
    (photos / "bee" / "new.png").write_bytes((photos / "bee" / "0.png").read_bytes())
    done = run("train", "photos", "--epochs", "40", *QUICK[2:], *RATE)
    assert "photos: has 37 images now and had 36 when the run began" in done.stderr


def test_a_run_that_was_moved(run, photos, tmp_path):
    run("train", "photos", *QUICK, *RATE)
    moved = tmp_path / "moved"
    (tmp_path / "output" / "photos").rename(moved)
    record = json.loads((moved / "starter.json").read_text())
    (moved / "starter.json").write_text(json.dumps({**record, "finished": None}))  # as of a run that was stopped
    done = run("train", "photos", *QUICK, *RATE, "--output", "moved", code=2)
    assert "moved/recipe.yaml: belongs to a run in output/photos, and is in moved" in done.stderr
    assert not (tmp_path / "output" / "photos").exists()


def test_weights_in_the_cache_make_two_stages(run, photos, tmp_path, monkeypatch):
    """The weights are random ones, under the name of the published file."""
    monkeypatch.setenv("PPCLS_HOME", str(tmp_path / "cache"))
    place = cache_path(spec("ConvMLP_S"))
    place.parent.mkdir(parents=True)
    model = create_model("ConvMLP_S")
    save_file({name: np.ascontiguousarray(value.numpy()) for name, value in model.state_dict().items()}, str(place))
    done = run("train", "photos", "--epochs", "1", "--image-size", "32", "-o", "DataLoader.Train.loader.num_workers=0")
    assert list(json.loads(done.stdout)) == ["classifier", "everything"]
    folder = tmp_path / "output" / "photos"
    assert (folder / "everything" / "latest.pdparams").is_file()
    recipe = (folder / "recipe.yaml").read_text()
    assert "pretrained: true  # the public weights, which are in the cache" in recipe
    assert not (folder / "lr_range.json").exists()
    done = run("train", "photos", "--pretrained", "auto", "--model", "gMLP_S16", "--output", "o", code=2)
    assert "no public weights are in the cache; put https://" in done.stderr


def test_weights_of_an_earlier_run(run, photos, tmp_path):
    run("train", "photos", *QUICK, *RATE)
    changes = ("-o", "DataLoader.Train.loader.num_workers=0")
    run("train", "photos", "--pretrained", "output/photos", "--epochs", "1", "--output", "output/more", *changes)
    config = load_config(tmp_path / "output" / "more" / "recipe.yaml")
    assert config.Arch.arguments["dim"] == 8
    assert list(config.stages) == ["classifier", "everything"]
    assert config.Global.image_shape == [3, 16, 16]
    done = run("train", "photos", "--pretrained", "output/photos", "--model", "gMLP_S16", "--output", "o", code=2)
    assert "holds weights of ConvMixer, and --model is gMLP_S16" in done.stderr


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda root: root.mkdir(), "is empty; put images there"),
        (lambda root: fill(root, ["daisy"], 3), "has one class, daisy"),
        (lambda root: fill(root, ["a", "b"], 1), "2 of 2 classes have fewer than 2 images"),
        (lambda root: fill(root / "inner", ["a", "b"], 3), "its folders (a, b) may be the classes: give "),
    ],
)
def test_folders_that_cannot_be_trained_with(run, tmp_path, make, text):
    make(tmp_path / "images")
    done = run("train", "images", code=2)
    assert text in done.stderr
    assert not (tmp_path / "output").exists()


def test_options_that_do_not_belong_together(run, photos, recipe):
    for arguments, text in (
        ((), "train by a recipe, -c RECIPE, or with a FOLDER of images; neither is given"),
        (("photos", "-c", recipe), "both are given"),
        (("-c", recipe, "--epochs", "3"), "--epochs: only for `ppcls train FOLDER`"),
        (("photos", "--model", "ConvMLP_X"), "unknown architecture 'ConvMLP_X'; did you mean"),
        (("photos", "--model", "ConvMixr"), "unknown architecture 'ConvMixr'; did you mean one of ConvMixer_1024_20, "),
        (("photos", "--model", "gmlp"), "--model: unknown architecture 'gmlp'; did you mean one of gMLP_B16, "),
        (("photos", "--model", "CycleMLP"), "--model: CycleMLP is a family; name one of its models: CycleMLP_B1, "),
        (("photos", "--epochs", "0"), "--epochs: must be at least 1, not 0"),
        (("photos", "--image-size", "4"), "--image-size: must be at least 16 pixels, not 4"),
        (("photos", "--pretrained", "missing.pdparams"), "missing.pdparams"),
        (("photos", "-o", "Global.epoch=5"), "-o Global.epoch=5: Global.epoch: unknown key; did you mean 'epochs'"),
        (("photos", "--epochs", "2", "-o", "Global.epochs=3"), "--epochs and -o Global.epochs cannot be used together"),
        (("missing",), "missing: no such file or folder"),
    ):
        done = run("train", *arguments, code=2)
        assert text in done.stderr
