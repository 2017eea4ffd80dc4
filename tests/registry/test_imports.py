"""Files, modules and installed packages that register components."""

import os
import re
import subprocess
import sys
import zipfile

import pytest

import ppcls
from ppcls.errors import ConfigError
from ppcls.utils.digests import sha256
from tests.helpers.command_line import forgotten_imports
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
    assert ppcls.LOSSES["FromNeighbour"].source.name == "neighbour_of_mine.py"
    assert ppcls.LOSSES["FromNeighbour"].source.importer.name == "parts.py"
    assert ppcls.LOSSES["FromModule"].source.path == tmp_path / "module_of_mine.py"
    with pytest.raises(ConfigError, match="there is no module nothing_here; to import a file, give its path"):
        ppcls.import_components("nothing_here")
    ppcls.import_components("./module_of_mine.py")  # the same file under another name


BACKBONE = """
import paddle, ppcls

@ppcls.BACKBONES.register
class NetX(paddle.nn.Layer):
    def __init__(self, class_num):
        super().__init__()

def helper():
    return 3
"""
LOSS = """
import ppcls
from backbone_of_mine import helper

@ppcls.LOSSES.register
class LossX:
    factor = helper()
"""


@pytest.fixture
def two_files(tmp_path, monkeypatch):
    """Return a folder in which one file with components imports another."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "backbone_of_mine.py").write_text(BACKBONE)
    (tmp_path / "loss_of_mine.py").write_text(LOSS)
    return tmp_path


@pytest.mark.parametrize("names", [("backbone", "loss"), ("loss", "backbone"), ("loss",)])
def test_files_that_import_each_other_are_each_run_once(two_files, names, recipe):
    files = [f"{two_files}/{name}_of_mine.py" for name in names]
    changes = {
        "Global.imports": files,
        "Arch": {"name": "NetX", "class_num": 10},
        "Loss.Train": [{"LossX": None}],
    }
    config = ppcls.load_config(recipe, changes)
    assert ppcls.LOSSES["LossX"].target.factor == 3
    recorded = {item.name: item.sha256 for item in config.Global.imported}
    assert recorded == {f"{name}_of_mine.py": sha256(two_files / f"{name}_of_mine.py") for name in ("backbone", "loss")}
    # The backbone can be had by importing the loss alone, which therefore stands first.
    if names == ("loss",):
        assert next(iter(recorded)) == "loss_of_mine.py"


def test_a_change_of_the_file_that_defines_a_component_is_warned_of(two_files, recipe, log):
    changes = {"Arch": {"name": "NetX", "class_num": 10}}
    with forgotten_imports():
        ppcls.import_components(two_files / "loss_of_mine.py")
        values = ppcls.load_config(recipe, changes).plain()
    (two_files / "backbone_of_mine.py").write_text(BACKBONE + "# changed")
    with pytest.raises(ConfigError, match=r"was made with loss_of_mine\.py: add --import .*/loss_of_mine\.py"):
        ppcls.load_config(values)
    ppcls.import_components(two_files / "loss_of_mine.py")
    ppcls.load_config(values)
    assert "was made with another version of backbone_of_mine.py" in log()
    assert "another version of loss_of_mine.py" not in log()


def test_a_failed_import_takes_back_what_it_has_imported(two_files):
    (two_files / "loss_of_mine.py").write_text(LOSS + "1 / 0")
    with pytest.raises(ConfigError, match=r"loss_of_mine\.py:8: ZeroDivisionError"):
        ppcls.import_components(two_files / "loss_of_mine.py")
    assert "NetX" not in ppcls.BACKBONES
    (two_files / "loss_of_mine.py").write_text(LOSS)
    ppcls.import_components(two_files / "loss_of_mine.py")
    assert "NetX" in ppcls.BACKBONES
    assert "LossX" in ppcls.LOSSES


def test_a_program_that_its_own_files_import_registers_once(tmp_path):
    (tmp_path / "program.py").write_text(
        "import ppcls\n@ppcls.TRANSFORMS.register\nclass Mine:\n    def __call__(self, image): return image\n"
        "if __name__ == '__main__':\n    import other\n    print('Other' in ppcls.TRANSFORMS)\n"
    )
    (tmp_path / "other.py").write_text(
        "import ppcls\nfrom program import Mine\nppcls.TRANSFORMS.register(Mine, name='Other')\n"
    )
    command = [sys.executable, "program.py"]
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert done.stdout == "True\n"


def test_an_import_that_registers_nothing_is_warned_of(tmp_path, log):
    (tmp_path / "empty.py").write_text("x = 1\n")
    ppcls.import_components(tmp_path / "empty.py")
    assert "empty.py'): registers no component; is it the right file or module?" in log()


def test_a_folder_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder_of_mine").mkdir()
    (tmp_path / "folder_of_mine" / "parts.py").write_text("import ppcls\n@ppcls.LOSSES.register\nclass Mine: pass\n")
    message = (
        r"folder_of_mine is a folder without __init__\.py; give a file in it \(folder_of_mine/FILE\.py\) or a module"
    )
    with pytest.raises(ConfigError, match=message):
        ppcls.import_components("folder_of_mine")
    ppcls.import_components("folder_of_mine.parts")
    assert "Mine" in ppcls.LOSSES


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


def test_another_process_reads_objects_of_files_that_import_each_other(two_files):
    write = "import pickle, ppcls\nfor name in ('backbone', 'loss'): ppcls.import_components(name + '_of_mine.py')\n"
    write += "classes = [ppcls.LOSSES['LossX'].target, ppcls.BACKBONES['NetX'].target]\n"
    read = "import subprocess, sys\nprogram = 'import pickle, sys, ppcls.registry; "
    read += "print([c.__name__ for c in pickle.load(sys.stdin.buffer)])'\n"
    read += "subprocess.run([sys.executable, '-c', program], input=pickle.dumps(classes), check=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", write + read],
        capture_output=True,
        text=True,
        cwd=two_files,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
    assert done.stdout == "['LossX', 'NetX']\n", done.stderr


def test_a_neighbour_that_is_not_the_files_own_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in ("pa", "pb"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "helper_of_both.py").write_text(f"WHO = {folder!r}\n")
        (tmp_path / folder / f"parts_{folder}.py").write_text(
            f"import ppcls\nimport helper_of_both\n@ppcls.LOSSES.register\nclass Loss_{folder}: pass\n"
        )
    ppcls.import_components(tmp_path / "pa" / "parts_pa.py")
    message = (
        rf"parts_pb.py imports 'helper_of_both', which is {tmp_path}/pa/helper_of_both.py and not the file beside it"
    )
    with pytest.raises(ConfigError, match=message):
        ppcls.import_components(tmp_path / "pb" / "parts_pb.py")
    assert "Loss_pb" not in ppcls.LOSSES
    assert "Loss_pa" in ppcls.LOSSES


@pytest.mark.parametrize("target", [".", "mine.yaml", "a-b"])
def test_what_is_neither_a_file_nor_a_module_is_refused(target):
    with pytest.raises(ConfigError, match=r"give a file, whose path ends in \.py, or|to import a file, give its path"):
        ppcls.import_components(target)
