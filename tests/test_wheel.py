"""The wheel, installed where the sources are not."""

import shutil
import subprocess
import sys

from tests.helpers.recipes import ROOT


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
