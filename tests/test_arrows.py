"""Who may know whom: the arrows between packages, read from the source of every module."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ppcls"
COMMON = {"errors", "utils"}
# Each package and the others that it may import.
ALLOWED = {
    "errors": set(),
    "utils": {"errors"},
    "config": {"errors"},
    "arch": {"config", *COMMON},
    "data": {"config", *COMMON},
    "loss": {"config", *COMMON},
    "metric": {"config", *COMMON},
    "optimizer": {"config", *COMMON},
    "deploy": {"data.transforms", *COMMON},
    "engine": {"arch", "config", "data", "deploy", "loss", "metric", "optimizer", *COMMON},
    "commands": {"arch", "config", "data", "deploy", "engine", "loss", "metric", "optimizer", *COMMON},
}
# Libraries that only these may import.
LIBRARIES = {
    "yaml": {"config", "deploy.description"},
    "pydantic": {"config"},
    "paddle": {"arch", "engine", "loss", "optimizer", "deploy.backends.paddle", "utils"},
    "cv2": {"data", "engine.data_inspection", "utils.opencv"},
    "PIL": {"data.transforms"},
    "onnxruntime": {"deploy.backends.onnx", "engine.exporting"},
    "onnx": {"engine.exporting"},
    "paddle2onnx": {"engine.exporting"},
    "visualdl": {"engine"},
    "safetensors": {"arch"},
}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "configs" not in p.relative_to(PACKAGE).parts)


def dotted(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path):
    """Yield every module imported anywhere in a file, by its full dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) in ("import_module", "__import__")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.args[0].value


def within(name, allowed):
    return any(name == item or name.startswith(item + ".") for item in allowed)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_arrows(path):
    here = dotted(path)
    package = here.split(".")[0]
    if package not in ALLOWED:
        pytest.skip("the top of the package (command line, public API) may import everything")
    for name in imports(path):
        if name.startswith("ppcls."):
            target = name[len("ppcls.") :]
            if target == "__version__":
                continue
            assert within(target, {package, *ALLOWED[package]}), f"ppcls.{here} must not import {name}"
        library = name.split(".")[0]
        if library in LIBRARIES:
            assert within(here, LIBRARIES[library]), f"ppcls.{here} must not import {library}"


def test_every_package_has_its_arrows():
    packages = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()}
    assert packages == set(ALLOWED) - {"errors"}


def loaded_after(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert not {"paddle", "numpy", "cv2", "yaml", "pydantic"} & loaded_after("import ppcls, ppcls.cli, ppcls.deploy")


def test_transforms_need_numpy_and_opencv_only():
    loaded = loaded_after("import ppcls.data.transforms")
    assert {"numpy", "cv2"} <= loaded
    assert not {"paddle", "yaml", "pydantic", "tqdm", "visualdl", "PIL"} & loaded


def test_sizes():
    """Files stay readable in one go; see the limits in CONTRIBUTING.md."""
    long_files = {dotted(p): n for p in MODULES if (n := len(p.read_text(encoding="utf-8").splitlines())) > 350}
    assert not long_files
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            length = getattr(node, "end_lineno", 0) - getattr(node, "lineno", 0) + 1
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                assert length <= 50, f"{dotted(path)}.{node.name} has {length} lines"
            elif isinstance(node, ast.ClassDef):
                assert length <= 200, f"{dotted(path)}.{node.name} has {length} lines"
