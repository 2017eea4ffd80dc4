"""Files, modules and installed packages that register components."""

import os
import re
import subprocess
import sys
import zipfile

import pytest

import ppcls
from ppcls.errors import ConfigError
from tests.helpers.recipes import ROOT


def test_an_unknown_name_says_how_to_add_one(recipe):
    with pytest.raises(
        ConfigError, match=r"unknown loss 'MyLoss'.*; add your own with --import FILE or Global\.imports"
    ):
        ppcls.load_config(recipe, ["Loss.Train=[{MyLoss: {}}]"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "x = 1\nx.y()\n",
            r"bad\.py: cannot be imported: .*bad\.py:2: AttributeError: 'int' object has no attribute 'y'",
        ),
        ("def f(:\n", r"bad\.py:1: SyntaxError"),
        ("import sys\nsys.exit(3)\n", r"bad\.py:2: SystemExit: 3"),
        ("import nothing_of_this_name\n", r"bad\.py:1: ModuleNotFoundError"),
        (
            "import ppcls\n@ppcls.LOSSES.register\nclass CELoss: pass\n",
            r"bad\.py:2: loss 'CELoss' is registered twice: by ppcls",
        ),
        (
            "import ppcls\n@ppcls.METRICS.register\nclass Mine:\n    def __init__(self, **options): pass\n",
            r"bad\.py:2: metric 'Mine': it takes \*\*options; name all arguments",
        ),
        (
            "import ppcls\nfrom paddle import nn\n@ppcls.BACKBONES.register\nclass Net(nn.Layer): pass\n",
            r"bad\.py:3: architecture 'Net': its constructor must take class_num",
        ),
    ],
)
def test_errors_while_importing_name_the_line_and_who_asked(tmp_path, recipe, text, message):
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        ppcls.load_config(recipe, [f"Global.imports=[{tmp_path}/bad.py]"])
    assert str(caught.value).startswith("-o Global.imports=")
    (tmp_path / "bad.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Good: pass\n")
    ppcls.import_components(tmp_path / "bad.py")  # what failed left nothing behind
    assert "Good" in ppcls.LOSSES


def test_twice_the_same_file_and_twice_the_same_name(tmp_path):
    (tmp_path / "parts.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Mine: pass\n")
    (tmp_path / "others.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Mine: pass\n")
    (tmp_path / "link.py").symlink_to(tmp_path / "parts.py")
    for name in ("parts.py", "parts.py", "link.py"):
        ppcls.import_components(tmp_path / name)
    with pytest.raises(ConfigError, match=r"'Mine' is registered twice: by .*/parts\.py and by .*/others\.py"):
        ppcls.import_components(tmp_path / "others.py")


def test_a_file_imports_its_neighbours_and_modules_are_found_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "neighbour_of_mine.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass FromNeighbour: pass\n")
    (tmp_path / "parts.py").write_text("import neighbour_of_mine\n")
    (tmp_path / "module_of_mine.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass FromModule: pass\n")
    monkeypatch.chdir(tmp_path)
    ppcls.import_components("parts.py")
    ppcls.import_components("module_of_mine")
    assert ppcls.LOSSES["FromNeighbour"].source.name == "parts.py"
    assert ppcls.LOSSES["FromModule"].source.path == tmp_path / "module_of_mine.py"
    with pytest.raises(ConfigError, match="no module nothing_here is installed"):
        ppcls.import_components("nothing_here")
    ppcls.import_components("./module_of_mine.py")  # the same file under another name


def test_importing_components_does_not_import_paddle(tmp_path):
    (tmp_path / "light.py").write_text(
        "import ppcls\n@ppcls.TRANSFORMS.register\nclass Light:\n    def __call__(self, image): return image\n"
    )
    code = "import sys, ppcls; ppcls.import_components('light.py')\n"
    code += "print('paddle' in sys.modules, 'Light' in ppcls.TRANSFORMS)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout.split() == ["False", "True"]


def wheel(folder, name, module):
    """Write a wheel of one module that is an entry point; return its path."""
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[ppcls.components]\nparts = {name}\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
    return path


def test_installed_packages_register_themselves(tmp_path, recipe):
    good = "import ppcls\nprint('imported')\n@ppcls.LOSSES.register\nclass Packed:\n"
    good += "    def __call__(self, logits, targets): return logits.sum(1)\n"
    wheels = [wheel(tmp_path, "packed_parts", good), wheel(tmp_path, "broken_parts", "import nothing_like_this\n")]
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(tmp_path / "site"), *map(str, wheels)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}"}

    def call(*arguments, code=0):
        command = [sys.executable, "-m", "ppcls", *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == code, done.stderr
        return done

    def config(*changes, code=0):
        return call("config", "-c", recipe, "-o", "Global.seed=1", *changes, code=code)

    assert "imported" not in call("--help").stdout
    assert "imported\n" not in config().stdout  # nothing of theirs is named
    done = config("Loss.Train=[{Packed: {}}]")
    assert "name: packed_parts" in done.stdout
    reason = (
        r"entry point 'parts' \(broken_parts\) of the package broken_parts 1\.0: cannot be imported: .*nothing_like_"
    )
    assert re.search(f"WARNING: {reason}", done.stderr)
    done = config("Loss.Train=[{Pcked: {}}]", code=2)
    assert re.search(rf"error: .*unknown loss 'Pcked'; did you mean 'Packed'\?.*{reason}", done.stderr, re.DOTALL)


def test_help_loads_neither_components_nor_what_finds_them():
    code = "import sys; from ppcls import cli\ntry: cli.main(['--help'])\nexcept SystemExit: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert "Train and evaluate:\n  train " in done.stdout
    for module in ("importlib.metadata", "ppcls.registry", "ppcls.config.loading", "numpy", "paddle", "asyncio"):
        assert f"'{module}'" not in done.stdout
