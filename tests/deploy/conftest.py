"""A trained run and its exports in both formats."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT, write_recipe

_MAKE = """
import sys
from ppcls import load_config
from ppcls.engine import export, train
from ppcls.engine.exporting.options import Options
train(load_config("recipe.yaml", ["Global.epochs=4"]))
export(load_config("recipe.yaml", ["Global.pretrained_model=out/best_model"]), Options(self_contained=True))
"""


@pytest.fixture(scope="session")
def models(digits, tmp_path_factory):
    """Return a folder with a run in ``out`` and, in ``inference``, its export for Paddle and for ONNX Runtime."""
    pytest.importorskip("paddle2onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("models")
    write_recipe(digits, folder)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", _MAKE], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


def changed(models, folder, change):
    """Return a copy of the export whose description was changed."""
    shutil.copytree(models / "inference", folder)
    values = yaml.safe_load((folder / "inference.yml").read_text())
    change(values)
    (folder / "inference.yml").write_text(yaml.safe_dump(values))
    return folder
