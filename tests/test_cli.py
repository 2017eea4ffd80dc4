"""The command line as a user meets it."""

import json
import re
import subprocess
import sys

import pytest

from tests.helpers.command_line import TOOLS
from tests.helpers.recipes import ROOT


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


def test_the_list_of_commands_is_printed_before_what_only_their_runs_need_is_loaded():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ppcls", "--help"], capture_output=True, text=True, check=True
    )
    assert re.search("split-data +write training and validation lists", done.stdout)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert {"argparse", "ppcls.commands.serve"} <= imported
    # Each takes several milliseconds of the 0.05 s that the help may take.
    assert not {"dataclasses", "inspect", "logging", "json", "ppcls.serving", "ppcls.registry", "numpy"} & imported


def test_the_tools_run_from_any_folder_without_installation(recipe, tmp_path):
    done = tool("train", "-c", recipe, "-o", "Global.epochs=1", cwd="/")
    assert done.returncode == 0, done.stderr
    weights = f"Global.pretrained_model={tmp_path}/out/latest"
    for name, output in (("eval", "top1"), ("export_model", "max_difference")):
        done = tool(name, "-c", recipe, "-o", weights, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert output in json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train"], "-c"),
        (["trian"], "unknown command 'trian' (did you mean train?)"),
        (["export", "output/x", "--onx"], "ppcls export: error: unrecognized arguments: --onx (did you mean --onnx?)"),
        (["train", "-c", "x.yaml", "Global.epochs=3"], "(changes of the recipe follow -o: -o Global.epochs=3)"),
        (["config"], "give -c RECIPE"),
        (["train", "-c", "nothing.yaml"], "no such recipe"),
        (["train", "-c", "."], ".: a folder, not a recipe"),
        (["eval", "-c", "quick_start/digits_ConvMixer", "-o", "weights=x"], "weights: unknown key"),
    ],
)
def test_wrong_calls_end_with_code_2_and_no_traceback(run, arguments, message):
    done = run(*arguments, code=2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
