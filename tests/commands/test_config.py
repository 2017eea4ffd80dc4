"""``ppcls config``."""

import subprocess
import sys

import pytest
import yaml

from tests.helpers.recipes import ROOT


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


def test_output_may_be_cut_off_by_a_pager(recipe):
    command = f"{sys.executable} -m ppcls config -c {recipe} | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.stdout.startswith("Global:")
    assert "Traceback" not in done.stderr
