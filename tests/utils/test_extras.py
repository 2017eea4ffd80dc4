"""Where optional packages come from."""

import re
import subprocess
import sys

import pytest

import ppcls
from ppcls.errors import MachineError
from ppcls.utils.extras import missing_extra
from tests.helpers.recipes import ROOT


def test_the_message_says_what_is_missing_for_what_and_how_to_get_it():
    error = missing_extra("report", "pyarrow", ".parquet")
    assert isinstance(error, MachineError)
    command = 'pip install ".[report]" in the clone of this repository'
    assert str(error) == f".parquet needs pyarrow, which is not installed: {command}"
    error = missing_extra("serve", "fastapi", "serving", ImportError("no module named typing_extensions"))
    assert str(error).startswith("serving needs fastapi (no module named typing_extensions): pip install")


def test_nothing_recommends_a_package_of_our_name_from_the_index():
    """That name is not ours there."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("needs the clone")
    index = re.compile(r"pip install (-\S+ )*[\"']?ppcls\b")
    files = [ROOT / name for name in listed.stdout.split("\0") if name.endswith((".py", ".md", ".txt", ".toml", ".js"))]
    assert len(files) > 200
    found = [str(path) for path in files if path.is_file() and index.search(path.read_text(encoding="utf-8"))]
    assert not found


def test_the_former_package_says_where_its_parts_are():
    for name in ("ppcls.deploy", "ppcls.deploy.predictor"):
        with pytest.raises(ImportError, match=r"ppcls\.Predictor.*ppcls\.inference.*ppcls\.serving") as caught:
            __import__(name)
        assert caught.value.name == "ppcls.deploy"
        assert "ppcls.deploy" not in sys.modules
    assert not hasattr(ppcls, "deploy")
