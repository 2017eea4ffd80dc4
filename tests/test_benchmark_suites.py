"""``benchmarks/run.py``, tried out on a tiny model."""

import json
import subprocess
import sys

import pytest

from tests.helpers.recipes import ROOT

LIMIT = "matrix product, float32"


def suite(*arguments, code=0):
    command = [sys.executable, "benchmarks/run.py", "--suite", "train", "--quick", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done


def test_rounds_are_measured_and_added(tmp_path):
    pytest.importorskip("matplotlib")
    turns = ("--rounds", 2, "--seconds", 0.01, "--threads", 1, "--output", tmp_path, "--add")
    suite("--contestants", "ours, float32", LIMIT, *turns)
    done = suite("--contestants", LIMIT, *turns)
    report = json.loads((tmp_path / "train.json").read_text())
    found = report["results"]["ConvMixer_256_8"]["contestants"]
    assert {name: len(one["rounds"]) for name, one in found.items()} == {"ours, float32": 2, LIMIT: 4}
    assert all(seconds > 0 for one in found.values() for steps in one["rounds"] for seconds in steps)
    assert found["ours, float32"]["facts"]["macs"] > 0
    assert (tmp_path / "train.png").read_bytes().startswith(b"\x89PNG")
    assert "| ConvMixer_256_8 | ours, float32 |" in done.stdout
    assert done.stdout.strip() == (tmp_path / "train.md").read_text().strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "ConvMixer"], "--models ConvMixer: must be some of ConvMixer_256_8"),
        (["--contestants", "theirs"], "--contestants: must be some of ours, float32; "),
    ],
)
def test_errors(arguments, message):
    assert message in suite(*arguments, code=1).stderr
