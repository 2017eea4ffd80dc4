"""The wheel, the requirements files and the public CI workflow."""

import importlib
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser

import pytest
import yaml
from packaging.requirements import Requirement

import ppcls
from tests.helpers.deploy_files import requirements
from tests.helpers.recipes import ROOT

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Return a wheel that was built from a copy of the sources; the copy is gone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    for name in ("ppcls", "configs", "tests", "tools"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = subprocess.run([*PIP, "wheel", "--no-deps", "-w", str(folder), str(source)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    shutil.rmtree(source)
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = HeaderParser().parsestr(archive.read(f"ppcls-{ppcls.__version__}.dist-info/METADATA").decode())
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ppcls").rglob("*.py")}
    recipes = {f"ppcls/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "configs").rglob("*.yaml")}
    page = {path.relative_to(ROOT).as_posix() for path in (ROOT / "ppcls" / "serving" / "page").iterdir()}
    assert len(recipes) > 40
    texts = {"ppcls/py.typed", "ppcls/configs/schema.json", "ppcls/utils/imagenet1k_label_list.txt"}
    assert {*texts, *sources, *recipes, *page} <= names
    assert {name.split("/")[0] for name in names} == {"ppcls", f"ppcls-{ppcls.__version__}.dist-info"}
    assert metadata["Version"] == ppcls.__version__
    extras = {"serve", "onnx", "openvino", "report", "heic", "tensorboard", "wandb", "mlflow", "docs", "dev"}
    assert set(metadata.get_all("Provides-Extra")) == extras
    core = {Requirement(line).name for line in metadata.get_all("Requires-Dist") if "extra ==" not in line}
    assert {"paddlepaddle", "numpy", "pydantic"} <= core
    assert not {"fastapi", "onnxruntime", "matplotlib", "pytest"} & core


def test_an_installed_wheel_brings_the_recipes(wheel, tmp_path):
    target = tmp_path / "site"
    install = [*PIP, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
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


@pytest.fixture(scope="module")
def project():
    """Return the project table of pyproject.toml."""
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def by_name(lines):
    return {requirement.name: requirement for requirement in map(Requirement, lines)}


def test_requirements_of_servers_are_those_of_the_project(project):
    extras = project["optional-dependencies"]
    known = by_name([*project["dependencies"], *extras["serve"], *extras["onnx"]])
    serve = requirements("requirements-serve.txt")
    for name, requirement in serve.items():
        assert requirement.specifier == known[name].specifier, name
    assert set(by_name(extras["serve"])) <= set(serve)


def test_gpus_need_another_onnx_runtime_and_nothing_else():
    cpu, gpu = requirements("requirements-serve.txt"), requirements("requirements-serve-gpu.txt")
    assert cpu.pop("onnxruntime") is not None
    assert gpu.pop("onnxruntime-gpu").extras == {"cuda", "cudnn"}
    assert gpu == cpu


def test_gpus_need_another_paddle_and_an_older_numpy(project):
    core, gpu = by_name(project["dependencies"]), requirements("requirements-gpu.txt")
    for paddle_or_numpy in (core.pop("paddlepaddle"), core.pop("numpy"), gpu.pop("paddlepaddle-gpu")):
        assert paddle_or_numpy is not None
    assert str(gpu.pop("numpy").specifier) == "<2.3"
    assert gpu == core


def test_requirements_txt_installs_the_clone():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition("#")[0].strip() for line in lines] == ["-e ."]


def test_the_workflow_runs_what_a_change_must_pass():
    # YAML 1.1 reads the key `on` as true.
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    assert set(workflow[True]) == {"push", "pull_request"}
    (job,) = workflow["jobs"].values()
    assert job["strategy"]["matrix"]["python"] == ["3.9", "3.11", "3.13"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines():
        assert not line.startswith("make ") or line in commands
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()}
    assert {command.removeprefix("make ") for command in commands if command.startswith("make ")} <= targets
    (python,) = (step for step in job["steps"] if step.get("uses", "").startswith("actions/setup-python@"))
    assert python["with"]["cache"] == "pip"
    assert (ROOT / python["with"]["cache-dependency-path"]).is_file()


def test_the_changelog_names_modules_that_exist():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    rows = re.findall(r"^ *\| (`ppcls\..*?) \| (`ppcls\..*?) \|$", text, re.MULTILINE)
    assert len(rows) > 15
    for _, now in rows:
        for name in re.findall(r"`(.*?)`", now):
            assert exists(name), name


def exists(name):
    """Return whether a dotted name is a module or an attribute of one."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return hasattr(importlib.import_module(module), attribute)
    return True
