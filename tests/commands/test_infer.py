"""``ppcls infer MODEL IMAGES...`` as a process."""

import contextlib
import csv
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ppcls.errors import CheckpointError, ConfigError
from tests.helpers.exports import assert_same_answers
from tests.helpers.recipes import ROOT


@pytest.fixture(scope="module")
def images(digits, tmp_path_factory):
    """Return a folder of 12 images, the fifth of which is broken."""
    folder = tmp_path_factory.mktemp("images")
    for number, path in enumerate(sorted((digits / "val").iterdir())[:12]):
        shutil.copy(path, folder / f"{number:02d}.png")
    (folder / "04.png").write_bytes(b"<html>")
    return folder


@pytest.fixture(scope="module")
def onnx(models):
    return models / "inference" / "inference.onnx"


def test_run_checkpoint_export_and_onnx_answer_alike(models, onnx, images, run, tmp_path):
    by_recipe = ("-c", models / "recipe.yaml", "-o", f"Global.pretrained_model={models}/out/best_model")
    old = run("infer", *by_recipe, f"Infer.infer_imgs={images}", f"Infer.save_dir={tmp_path}", code=2)
    expected = json.loads(old.stdout)
    assert [Path(a["file_name"]).name for a in expected if "error" in a] == ["04.png"]
    for model in (models / "out", models / "out" / "best_model.pdparams", models / "inference", onnx):
        done = run("infer", model, images, code=2)
        answers = json.loads(done.stdout)
        assert [answer["file_name"] for answer in answers] == [answer["file_name"] for answer in expected]
        assert_same_answers(answers, expected)
        assert f"{images}/04.png: DecodeImage: not an image" in done.stderr


def test_every_file_format(onnx, images, run, tmp_path):
    printed = json.loads(run("infer", onnx, images, "--topk", "2", code=2).stdout)
    for name in ("x.json", "x.csv", "x.parquet", "map.json"):
        form = ("--format", "map") if name == "map.json" else ()
        # An option between MODEL and IMAGES, too.
        done = run("infer", onnx, "--out", name, images / "*.png", "--topk", "2", *form, code=2)
        assert done.stdout == ""
        assert f"wrote {name}: 12 images, 1 of them broken" in done.stderr
    assert json.loads((tmp_path / "x.json").read_text()) == printed
    ids = {a["file_name"]: a["class_ids"][0] if "class_ids" in a else None for a in printed}
    assert json.loads((tmp_path / "map.json").read_text()) == ids
    with (tmp_path / "x.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file_name"]: int(row["class_id"]) if row["class_id"] else None for row in rows} == ids
    assert float(rows[0]["score_2"]) == printed[0]["scores"][1]
    assert rows[4]["error"] == printed[4]["error"]
    parquet = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "x.parquet").to_pydict()
    assert dict(zip(parquet["file_name"], parquet["class_id"])) == ids
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map.json", "x.csv", "x.json", "x.parquet"]


def test_the_map_from_a_recipe(models, images, tmp_path):
    command = [
        sys.executable,
        ROOT / "tools" / "infer.py",
        "-c",
        models / "recipe.yaml",
        "-o",
        f"Infer.save_dir={tmp_path}",
    ]
    command += [f"Global.pretrained_model={models}/out/latest", f"Infer.infer_imgs={images}", "Infer.format=map"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=models, check=False)
    assert done.returncode == 2, done.stderr
    written = json.loads((tmp_path / "predictions.json").read_text())
    printed = json.loads(done.stdout)  # the answers, as ever
    assert written == {a["file_name"]: a["class_ids"][0] if "class_ids" in a else None for a in printed}
    assert written[f"{images}/04.png"] is None


def test_a_checkpoint_is_used_where_its_data_are_not(models, digits, run, tmp_path):
    for suffix in (".pdparams", ".pdstates"):
        shutil.copy(models / "out" / f"best_model{suffix}", tmp_path)
    states = json.loads((tmp_path / "best_model.pdstates").read_text())
    assert states["config"]["DataLoader"]["Eval"]["dataset"]["image_root"] == str(digits)
    image = tmp_path / "image.png"
    shutil.copy(digits / "val" / "000.png", image)
    (answer,) = json.loads(run("infer", tmp_path, image, "-o", "Infer.PostProcess.topk=3").stdout)
    assert answer["label_names"] == [f"digit-{i}" for i in answer["class_ids"]]
    assert len(answer["class_ids"]) == 3
    # Weights that came without their recipe need one.
    (tmp_path / "best_model.pdstates").unlink()
    assert "comes without its recipe" in run("infer", tmp_path / "best_model", image, code=2).stderr
    done = run("infer", tmp_path / "best_model.pdparams", image, "-c", models / "recipe.yaml", "--topk", "3")
    (again,) = json.loads(done.stdout)
    assert again["scores"] == answer["scores"]
    assert again["label_names"] == []
    assert "has no class names" in done.stderr
    shutil.copy(models / "out" / "best_model.pdstates", tmp_path)
    content = bytearray((tmp_path / "best_model.pdparams").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "best_model.pdparams").write_bytes(content)
    assert "best_model.pdparams: missing, damaged, or not" in run("infer", tmp_path, image, code=2).stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MODEL"], "nothing to predict: ppcls infer"),
        (["MODEL", "nowhere.jpg"], "nowhere.jpg: no such image or folder"),
        (["MODEL", "*.webp"], "*.webp: no file matches this pattern"),
        (["MODEL", "IMAGES", "--out", "x.txt"], "must be one of .json, .csv, .parquet"),
        (["MODEL", "IMAGES", "--out", "x.csv", "--format", "map"], "written as .json, not .csv"),
        (
            ["MODEL", "IMAGES", "--out", "no/x.json"],
            "no/x.json: cannot be written: there is no folder no; make it first",
        ),
        (["a.jpg", "MODEL"], "a.jpg is an image, not a model; MODEL comes first: ppcls infer MODEL IMAGES..."),
        (["a.jpg"], "a.jpg is an image, not a model; MODEL comes first"),
        (["MODEL", "IMAGES", "-o", "Global.seed=1"], "-o: "),
        (["MODEL", "IMAGES", "--backend", "paddle"], "has no model for the backend paddle"),
        (["MODEL", "IMAGES", "--threads", "99999"], "--threads 99999: at most 1024"),
        (["MODEL", "IMAGES", "--device", ""], "device ''"),
        (["MODEL", "IMAGES", "--topk", "0"], "0 is not a whole number of 1 or more"),
        (["MODEL", "IMAGES", "--topk", "x"], "x is not a whole number of 1 or more"),
        (["--out", "x.json"], "--out belongs to `ppcls infer MODEL IMAGES...`"),
        ([], "give `ppcls infer MODEL IMAGES...`; with a recipe"),
        (["-o", "Infer.batch_size=3", "MODEL", "IMAGES"], "in front of -o, which takes all that follows it"),
        (["nowhere.onnx", "IMAGES"], "nowhere.onnx: no such"),
        (["MODEL", ""], "an empty path; the current folder is '.'"),
        (["~nosuchuser/m", "IMAGES"], "~nosuchuser/m: no home folder known for ~nosuchuser"),
        (["MODEL", "IMAGES", "--out", "~nosuchuser/x.json"], "~nosuchuser/x.json: no home folder known"),
        (["-c", "~nosuchuser/x.yaml"], "~nosuchuser/x.yaml: no such recipe"),
        (["-c", "."], ".: a folder, not a recipe; the recipe of a run is config.yaml in its folder"),
        (
            ["MODEL", "-o", "Global.device=cpu", "IMAGES"],
            "-o took IMAGES, as it takes all that follows",
        ),
        (["MODEL", "IMAGES", "--topk", "2", "b.jpg"], "arguments: b.jpg (IMAGES stand together, before the options)"),
    ],
)
def test_wrong_calls_say_what_is_wrong(onnx, images, run, arguments, message):
    places = {"MODEL": onnx, "IMAGES": images}
    done = run("infer", *[places.get(argument, argument) for argument in arguments], code=2)
    assert message.replace("IMAGES,", f"{images},") in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_what_is_no_model_is_said(models, images, run):
    (models / "empty").mkdir(exist_ok=True)
    from ppcls.engine.checkpointing import run_dir

    best = models / "out" / "best_model"
    for path in (models / "out", best, best.with_suffix(".pdopt"), best.with_suffix(".pdparams"), models):
        assert run_dir.find_checkpoint(path) == best  # the last: of a run in stages
    (models / "foreign.safetensors").touch()
    for name, kind, message in (
        ("nowhere", CheckpointError, "no such run folder, checkpoint, or exported model"),
        ("empty", CheckpointError, "not the folder of a run"),
        (
            "out/config.yaml",
            ConfigError,
            "a YAML file, not a model; for the weights of the run, give .*/out$",
        ),
        ("recipe.yaml", ConfigError, r"recipe\.yaml: a YAML file, not a model; a recipe follows -c"),
        ("inference/inference.yml", ConfigError, "a file of an exported model; give the folder, .*/inference$"),
        ("foreign.safetensors", ConfigError, "weights without a recipe: give it with -c RECIPE"),
        ("out/train.log", ConfigError, "not a model; that is the folder of a run, a checkpoint, "),
    ):
        with pytest.raises(kind, match=message):
            run_dir.find_checkpoint(models / name)
    (models / "foreign.safetensors").unlink()
    assert run_dir.find_checkpoint(models, "out") == best
    shutil.copytree(models / "out", models / "other")
    with pytest.raises(ConfigError, match=r"holds several runs \(other, out\): give the folder of one, .*/other; "):
        run_dir.find_checkpoint(models)
    assert run_dir.find_checkpoint(models, "out") == best
    shutil.rmtree(models / "other")
    (models / "out" / "inference.json").write_text("[]")  # results, and no sign of an export
    assert len(json.loads(run("infer", models / "out", images / "00.png").stdout)) == 1
    (models / "out" / "inference.json").unlink()
    with pytest.raises(ConfigError, match="is one checkpoint"):
        run_dir.find_checkpoint(best, "out")
    assert "not the folder of a run" in run("infer", models / "empty", images, code=2).stderr
    (models / "empty" / "inference.onnx").touch()
    assert "inference.yml is missing" in run("infer", models / "empty", images, code=2).stderr
    shutil.rmtree(models / "empty")


def test_parquet_without_its_package_says_what_to_install(onnx, images, run, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "pyarrow.py").write_text("raise ImportError('not installed')")
    environment = {"PYTHONPATH": f"{tmp_path}/without{os.pathsep}{ROOT}"}
    done = run("infer", onnx, images, "--out", "x.parquet", code=2, process=True, environment=environment)
    assert 'pip install ".[report]"' in done.stderr


def test_onnx_models_need_no_paddle(onnx, images, run, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "paddle.py").write_text("raise ImportError('not installed')")
    environment = {"PYTHONPATH": f"{tmp_path}/without{os.pathsep}{ROOT}"}
    answers = json.loads(run("infer", onnx, images, code=2, process=True, environment=environment).stdout)
    assert sum("class_ids" in a for a in answers) == 11


def test_names_that_are_no_text_are_printed_and_written(onnx, images, run, tmp_path):
    name = os.fsdecode(b"photo\xff.png")
    try:
        shutil.copy(images / "00.png", tmp_path / name)
    except OSError:
        pytest.skip("this file system has no such names")
    (answer,) = json.loads(run("infer", onnx, tmp_path / "photo*.png").stdout)
    assert Path(answer["file_name"]).name == name
    run("infer", onnx, tmp_path / "photo*.png", "--out", "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == [answer]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a file that is never read to its end")
@pytest.mark.parametrize(
    ("number", "model", "message"),
    [
        (signal.SIGINT, "inference/inference.onnx", "stopped"),
        (signal.SIGTERM, "inference/inference.onnx", ""),
        (signal.SIGTERM, "inference", ""),  # Paddle has handlers of its own
    ],
)
def test_a_signal_ends_it_at_once_and_leaves_the_older_file(models, images, tmp_path, number, model, message):
    (tmp_path / "x.json").write_text("older")
    os.mkfifo(tmp_path / "endless.png")
    command = [
        sys.executable,
        "-m",
        "ppcls",
        "infer",
        models / model,
        images / "00.png",
        tmp_path / "endless.png",
        "--out",
        "x.json",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        list(map(str, command)), cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    writer, give_up = None, time.monotonic() + 60
    while writer is None and time.monotonic() < give_up:
        try:
            writer = os.open(tmp_path / "endless.png", os.O_WRONLY | os.O_NONBLOCK)  # once it is being read
        except OSError:
            time.sleep(0.05)
    assert writer is not None
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    os.close(writer)
    assert process.returncode == 128 + number
    first, *rest = said.strip().splitlines()
    assert "ConvMixer, by the backend" in first
    assert rest == ([message] if message else [])
    assert (tmp_path / "x.json").read_text() == "older"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["endless.png", "x.json"]


def test_on_a_terminal_nothing_is_drawn_over_the_answers(models, digits, tmp_path):
    images = sorted((digits / "val").iterdir())[:5]
    (tmp_path / "page.jpg").write_bytes(b"<html>")
    here, there = pty.openpty()
    command = [sys.executable, "-m", "ppcls", "infer", str(models / "inference"), *map(str, images)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([*command, str(tmp_path)], stdin=there, stdout=there, stderr=there, env=environment)
    os.close(there)
    shown = b""
    with contextlib.suppress(OSError):  # that is how a terminal ends
        while True:
            shown += os.read(here, 4096)
    os.close(here)
    assert process.wait(60) == 2
    text = shown.decode().replace("\r\n", "\n")
    assert "\r" not in text
    answers = json.loads(text[text.index("\n[{") :])
    assert [len(answer.get("class_ids", [])) for answer in answers] == [5] * 5 + [0]
    assert "a web page or XML" in answers[-1]["error"]


def test_features_are_written_beside_their_names(models, images, run, tmp_path):
    for name in ("x.npy", "x.parquet"):
        done = run("infer", models / "out", images, "--features", name, "--batch-size", "5", code=2)
        assert done.stdout == ""
        assert f"wrote {name}: 12 images, 1 of them broken" in done.stderr
        assert f"{images}/04.png: DecodeImage: not an image" in done.stderr
    features = np.load(tmp_path / "x.npy")
    names = json.loads((tmp_path / "x.names.json").read_text())
    assert names == [str(path) for path in sorted(images.iterdir())]
    assert (features.shape, features.dtype) == ((12, 16), np.float32)
    assert np.isnan(features).any(axis=1).tolist() == [number == 4 for number in range(12)]
    rows = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "x.parquet").to_pydict()
    assert rows["file_name"] == names
    assert rows["features"][4] is None
    assert "not an image" in rows["error"][4]
    np.testing.assert_array_equal(rows["features"][7], features[7])
    assert rows["error"][7] is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.names.json", "x.npy", "x.parquet"]


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("out", ["--features", "x.csv"], "x.csv: the suffix gives the format; it must be one of .npy, .parquet"),
        ("out", ["--features", "no/x.npy"], "there is no folder no; make it first"),
        ("out", ["--features", "x.npy", "--topk", "3"], "--topk: applies to answers"),
        ("out", ["--features", "x.npy", "--format", "map"], "--format: applies to answers"),
        ("inference", ["--features", "x.npy"], "an exported model gives probabilities only"),
    ],
)
def test_features_that_cannot_be_written(models, images, run, tmp_path, model, arguments, message):
    done = run("infer", models / model, images, *arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_features_of_nothing_are_no_file(models, images, run, tmp_path):
    for name in ("x.npy", "x.parquet"):
        done = run("infer", models / "out", images / "04.png", "--features", name, code=2)
        assert "none of the 1 images can be read; nothing was written" in done.stderr
    assert not list(tmp_path.iterdir())
