"""``ppcls info``."""

import json
import os
import platform
import subprocess
import sys

import numpy as np
import paddle

import ppcls
from tests.conftest import ROOT


def test_it_prints_what_a_bug_report_needs(run):
    text = run("info").stdout
    values = json.loads(run("info", "--json").stdout)
    assert values["ppcls"] == ppcls.__version__
    assert values["python"] == platform.python_version()
    assert values["paddle"]["version"] == paddle.__version__
    assert values["packages"]["numpy"] == {"version": np.__version__, "extras": ["core"]}
    assert values["packages"]["fastapi"]["extras"] == ["serve"]
    assert values["packages"]["onnxruntime"]["extras"] == ["onnx"]
    assert values["paths"]["package"] == str(ROOT / "ppcls")
    assert values["processor"]["cores"] >= 1
    assert values["threads"]["cpu_threads"] == os.environ["OMP_NUM_THREADS"]
    for shown in (platform.python_version(), paddle.__version__, np.__version__, "GPUs that it finds", "[serve]"):
        assert shown in text


def test_it_works_without_paddle_and_with_a_broken_one(tmp_path):
    for content, message in (
        (
            "raise ImportError('libcuda.so.1: no such file')",
            "not usable: importing it fails: ImportError: libcuda.so.1",
        ),
        ("import os; os.abort()", "not usable: importing it fails: the process ends with code -6"),
    ):
        (tmp_path / "paddle.py").write_text(content)
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}",
            "PPCLS_HOME": str(tmp_path / "home"),
        }
        command = [sys.executable, "-m", "ppcls", "info"]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
        assert message in done.stdout
        assert str(tmp_path / "home") in done.stdout
        assert np.__version__ in done.stdout
