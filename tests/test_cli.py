"""The command line as a user meets it."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.recipes import ROOT

TOOLS = {"train": "train", "eval": "eval", "infer": "infer", "export_model": "export"}


def tool(name, *arguments, cwd):
    command = [sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False)


@pytest.mark.parametrize("name", TOOLS)
def test_help_names_the_options_and_loads_nothing_heavy(name, tmp_path):
    done = tool(name, "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "Global.epochs=3" in done.stdout
    traced = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "tools" / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.split("|")[-1].strip().split(".")[0] for line in traced.stderr.splitlines()}
    assert "argparse" in imported
    assert not {"paddle", "numpy", "cv2", "yaml", "pydantic"} & imported


def test_the_tools_run_from_any_folder_without_installation(recipe, tmp_path):
    done = tool("train", "-c", recipe, "-o", "Global.epochs=1", cwd="/")
    assert done.returncode == 0, done.stderr
    weights = f"Global.pretrained_model={tmp_path}/out/latest"
    for name, output in (("eval", "top1"), ("export_model", "max_difference")):
        done = tool(name, "-c", recipe, "-o", weights, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert output in json.loads(done.stdout)


def test_overrides_several_at_once_and_repeated(recipe, run):
    text = run(*("config", "-c", recipe, "-o", "Global.epochs=3", "Global.seed=4"), "-o", "Global.seed=5").stdout
    values = yaml.safe_load(text)
    assert values["Global"]["epochs"] == 3
    assert values["Global"]["seed"] == 5
    assert "-o Global.seed=5" in text


def test_config_shows_where_values_come_from(run):
    text = run("config", "-c", "quick_start/digits_ConvMixer").stdout
    lines = [line.split("#") for line in text.splitlines()]
    origins = {value.strip(): origin.strip() for value, *rest in lines for origin in rest}
    assert "quick_start/digits_ConvMixer.yaml:" in origins["dim: 64"]
    assert "_base_/runtime.yaml:" in origins["save_interval: 10"]
    assert origins["start_eval_epoch: 0"] == "default"


def test_config_lists_the_shipped_recipes(run):
    assert "quick_start/digits_ConvMixer.yaml" in run("config", "--list").stdout.split()


@pytest.mark.parametrize(
    "name", ["./ppcls/configs/quick_start/digits_ConvMixer.yaml", "configs/quick_start/digits_ConvMixer.yaml"]
)
def test_paths_of_a_checkout_work_everywhere(run, name):
    assert "dim: 64" in run("config", "-c", name).stdout
    assert "dim: 64" in run("config", "-c", name, cwd=ROOT).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "-c"),
        (["trian"], "unknown command 'trian' (did you mean train?)"),
        (["export", "output/x", "--onx"], "ppcls export: error: unrecognized arguments: --onx (did you mean --onnx?)"),
        (["train", "-c", "x.yaml", "Global.epochs=3"], "(changes of the recipe come behind -o: -o Global.epochs=3)"),
        (["config"], "give -c RECIPE"),
        (["train", "-c", "nothing.yaml"], "no such recipe"),
        (["train", "-c", "."], "no such recipe"),
        (["eval", "-c", "quick_start/digits_ConvMixer", "-o", "weights=x"], "weights: unknown key"),
    ],
)
def test_wrong_calls_end_with_code_2_and_no_traceback(run, arguments, message):
    done = run(*arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_output_may_be_cut_off_by_a_pager(recipe):
    command = f"{sys.executable} -m ppcls config -c {recipe} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.startswith("Global:")
    assert "Traceback" not in done.stderr


def test_the_wheel_brings_the_recipes(tmp_path):
    """Build a wheel from a copy of the sources, install it into an empty folder and use it from another."""
    source = tmp_path / "source"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build")
    source.mkdir()
    for name in ("ppcls", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignore)
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    target = tmp_path / "site"
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(target), str(source)], check=True, capture_output=True
    )
    shutil.rmtree(source)
    code = "import ppcls, sys; from ppcls.cli import main; print(ppcls.__file__); sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "config", "-c", "quick_start/digits_ConvMixer.yaml"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(target) in done.stdout
    assert "dim: 64" in done.stdout
    assert (target / "bin" / "ppcls").is_file()
    assert (target / "ppcls" / "serving" / "page" / "index.html").is_file()


def test_make_digits_writes_the_data_set(tmp_path):
    done = tool("make_digits", tmp_path / "digits", cwd=tmp_path)
    assert "1433 pictures to train with, 364 to evaluate with" in done.stdout
    for name, count in (("train_list.txt", 1433), ("val_list.txt", 364)):
        lines = (tmp_path / "digits" / name).read_text().splitlines()
        assert len(lines) == count
        assert all((tmp_path / "digits" / line.split()[0]).is_file() for line in lines)
        assert {line.split()[1] for line in lines} == {str(i) for i in range(10)}


def test_models_lists_what_is_known(run):
    rows = json.loads(run("models", "--json").stdout)
    by_name = {row["name"]: row for row in rows}
    assert len(rows) == 15
    assert by_name["CycleMLP_B1"]["params"] == 15_155_400
    assert by_name["gMLP_S16"]["public_weights"]
    assert not by_name["gMLP_B16"]["public_weights"]
    text = run("models", "*mixer*").stdout
    assert "ConvMixer_768_32" in text
    assert "ConvMLP" not in text
    assert "no architecture matches" in run("models", "ResNet*", code=2).stderr


@pytest.mark.parametrize(("name", "size"), [("gMLP_Ti16", ["64", "96"]), ("ConvMLP_S", ["64"])])
def test_summary_adds_up(name, size, run):
    text = run("summary", name, "--image-size", *size).stdout
    assert f"input: [3, 64, {size[-1]}]" in text
    headless = run("summary", name, "--image-size", *size, "--class-num", "0").stdout
    assert "head" not in headless
    assert "unknown architecture 'gMLP_Ti'; did you mean 'gMLP_Ti16'?" in run("summary", "gMLP_Ti", code=2).stderr


def test_the_learning_rate_is_drawn(run, tmp_path):
    import cv2

    common = ("schedule", "-c", "CIFAR10/ConvMixer_256_8")
    done = run(*common, "--steps-per-epoch", "98")
    table = json.loads(done.stdout)
    assert table["epochs"] == 25
    assert table["peak"] == pytest.approx(0.05)
    assert table["peak_epoch"] == 10
    assert table["first"] == 0
    assert table["25 %"] == pytest.approx(0.05 * 612 / 980)
    picture = cv2.imread(str(tmp_path / "schedule.png"))
    assert (picture < 200).any()
    staged = ("schedule", "-c", "ImageNet/CycleMLP/CycleMLP_B1_staged", "--steps-per-epoch", "1251")
    stages = json.loads(run(*staged, "--out", "stages.png").stdout)
    assert stages["pretrain"]["peak"] == stages["pretrain"]["after_warmup"] == pytest.approx(1e-3)
    assert (stages["finetune"]["first"], stages["finetune"]["last"]) == (1e-5, 1e-5)
    assert "give --steps-per-epoch" in run(*common, code=2).stderr
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "matplotlib.py").write_text("raise ImportError('not installed')")
    environment = {"PYTHONPATH": f"{tmp_path}/without:{ROOT}"}
    done = run(*common, "--steps-per-epoch", "9", code=2, process=True, environment=environment)
    assert 'pip install "ppcls[report]"' in done.stderr
    assert "cannot be written" in run(*common, "--steps-per-epoch", "9", "--out", "no/where.png", code=2).stderr
