"""An export that several tests look at."""

import shutil

import pytest

import ppcls
from ppcls.exporting.options import Options
from tests.helpers.exports import prepared


@pytest.fixture(scope="session")
def convmlp(digits, tmp_path_factory):
    """Return the recipe and folder of an export of ConvMLP, with a self-contained model."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("paddle2onnx")
    folder = tmp_path_factory.mktemp("convmlp")
    config = prepared("ConvMLP", digits, folder)
    ppcls.export(config, Options(self_contained=True))
    return config, folder / "model"


@pytest.fixture
def copy_of_convmlp(convmlp, tmp_path):
    shutil.copytree(convmlp[1], tmp_path / "model")
    return tmp_path / "model"
