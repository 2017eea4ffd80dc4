"""Who may know whom: the arrows between packages, read from the source of every module."""

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "ppcls"
# From the ground up: each package, and the others that it may import.
GROUND = {"errors", "utils"}
ALLOWED = {
    "errors": set(),
    "utils": {"errors"},
    "registry": GROUND,
    "config": {"registry", *GROUND},
    "data": {"registry", *GROUND},
    "loss": {"registry", *GROUND},
    "metric": {"registry", *GROUND},
    "optimizer": {"registry", *GROUND},
    "arch": {"registry", *GROUND},
    "weights": {"arch", "registry", *GROUND},
    "inference": {"data.transforms", "registry", *GROUND},
    "serving": {"inference", "data.transforms", *GROUND},
    "engine": {"arch", "config", "data", "inference", "loss", "metric", "optimizer", "registry", "weights", *GROUND},
}
ALLOWED["starter"] = {"engine", *ALLOWED["engine"]}
ALLOWED["exporting"] = {"engine", *ALLOWED["engine"]}
ALLOWED["analysis"] = {"engine", *ALLOWED["engine"]}
ALLOWED["report"] = {"analysis", "engine", *ALLOWED["engine"]}
ALLOWED["tuning"] = {"engine", "report", *ALLOWED["engine"]}
# Public modules at the top of the package: ``ppcls.__init__`` and these import them, and nothing else but commands.
ALLOWED["preprocessing"] = {"arch", "data.transforms", "inference", "registry", *GROUND}
ALLOWED["prediction"] = {"engine", *ALLOWED["engine"]}
ALLOWED["supplied_recipe"] = {"engine", "preprocessing", *ALLOWED["engine"]}
ALLOWED["api"] = {"engine", "exporting", "prediction", "report", "supplied_recipe", *ALLOWED["engine"]}
ALLOWED["commands"] = {
    "analysis",
    "engine",
    "exporting",
    "prediction",
    "report",
    "serving",
    "starter",
    "tuning",
    *ALLOWED["engine"],
}
# The command line, the lazily imported public names, and the message of a package that has moved.
FREE = {"", "__main__", "cli", "deploy"}
# Libraries that only these may import.
LIBRARIES = {
    "yaml": {"config", "inference.description"},
    "pydantic": {"config", "serving"},
    "matplotlib": {"report"},
    "paddle": {
        "api",
        "analysis.filters",
        "analysis.grad_cam",
        "prediction",  # for type checkers only
        "preprocessing",
        "arch",
        "weights",
        "engine",
        "exporting",
        "loss",
        "metric",
        "optimizer",
        "inference.backends.paddle",
        "report",
        "tuning",
        "utils",
    },
    "cv2": {"data", "engine.inspection", "utils.opencv"},
    "PIL": {"data.transforms", "report.png", "utils.lettering"},
    "pillow_heif": {"data.transforms"},
    "onnxruntime": {"inference.backends.onnx", "exporting"},
    "openvino": {"inference.backends.openvino"},
    "onnx": {"exporting"},
    "paddle2onnx": {"exporting"},
    "visualdl": {"engine.callbacks.trackers"},
    "tensorboard": {"engine.callbacks.trackers"},
    "wandb": {"engine.callbacks.trackers"},
    "mlflow": {"engine.callbacks.trackers"},
    "safetensors": {"weights"},
}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "configs" not in p.relative_to(PACKAGE).parts)


def dotted(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports(path):
    """Yield every module imported anywhere in a file, by its full dotted name."""
    yield from imported(ast.parse(path.read_text(encoding="utf-8")), path)


def imported(tree, path):
    for node in ast.walk(tree):
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


def runtime_imports(path):
    """Yield what ``imports`` does, but for what only type checkers see: that is a circle to nobody."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            node.body = []
    yield from imported(tree, path)


def within(name, allowed):
    return any(name == item or name.startswith(item + ".") for item in allowed)


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_arrows(path):
    here = dotted(path)
    package = here.split(".")[0]
    for name in imports(path):
        if name.startswith("ppcls."):
            target = name[len("ppcls.") :]
            if target == "__version__":
                continue
            assert package in FREE or within(target, {package, *ALLOWED[package]}), (
                f"ppcls.{here} must not import {name}"
            )
        library = name.split(".")[0]
        if library in LIBRARIES:
            assert within(here, LIBRARIES[library]), f"ppcls.{here} must not import {library}"


def module_of(name, modules):
    """Return the module that an imported name is, or is in; None for other people's."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name or None


def test_no_import_circle():
    """Nor one through imports inside of functions; what a package's ``__init__`` loads lazily is no part of it."""
    modules = {f"ppcls.{dotted(path)}".rstrip("."): path for path in MODULES}
    graph = {
        name: {found for item in runtime_imports(path) if (found := module_of(item, modules)) and found != name}
        for name, path in modules.items()
    }
    circles = [sorted(part) for part in strongly_connected(graph) if len(part) > 1]
    assert not circles, "\n".join(" <-> ".join(circle) for circle in circles)


def strongly_connected(graph):
    """Yield the sets of nodes that reach each other (Tarjan, https://doi.org/10.1137/0201010)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in graph[node]:
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            part = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            found.append(part)

    for node in graph:
        if node not in index:
            visit(node)
    return found


def test_every_package_has_its_arrows():
    assert {dotted(path).split(".")[0] for path in MODULES} == set(ALLOWED) | FREE


def loaded_after(statement):
    code = f"import sys; {statement}; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy():
    assert not {"paddle", "numpy", "cv2", "yaml", "pydantic"} & loaded_after("import ppcls, ppcls.cli, ppcls.inference")


def test_transforms_need_numpy_and_opencv_only():
    loaded = loaded_after("import ppcls.data.transforms")
    assert {"numpy", "cv2"} <= loaded
    assert not {"paddle", "yaml", "pydantic", "tqdm", "visualdl", "PIL"} & loaded


def test_sizes():
    """Files and classes stay readable in one go; functions are bounded by their complexity (ruff, pyproject.toml)."""
    for path in (*MODULES, *(ROOT / "tests").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 350, f"{path.relative_to(ROOT)} has {len(text.splitlines())} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                length = node.end_lineno - node.lineno + 1
                assert length <= 200, f"{path.relative_to(ROOT)}: {node.name} has {length} lines"


PACKAGES = [path.parent for path in MODULES if path.name == "__init__.py"]


@pytest.mark.parametrize("folder", PACKAGES, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_no_module_bears_the_name_of_what_its_package_gives(folder):
    """``from ppcls import export`` would give the function or the module, by what was imported before."""
    package = importlib.import_module(".".join(folder.relative_to(ROOT).parts))
    modules = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    same = modules.intersection(getattr(package, "__all__", ()))
    assert not {name for name in same if not inspect.ismodule(getattr(package, name))}


def test_no_test_imports_from_another():
    """What several tests use lives in tests/helpers, in a conftest.py or in a module beside them."""
    for path in (ROOT / "tests").rglob("*.py"):
        for name in imports(path):
            if name.startswith("tests."):
                assert not any(part.startswith("test_") for part in name.split(".")), f"{path}: {name}"
            assert name.split(".")[0] != "benchmarks", f"{path}: {name}"
