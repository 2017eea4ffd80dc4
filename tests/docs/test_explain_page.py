"""The commands of docs/explain.md, and its code."""

import json
import re
import shlex
import shutil

import cv2
import pytest

from tests.helpers.recipes import ROOT


@pytest.fixture(scope="module")
def folder(models, digits, tmp_path_factory):
    """Return a folder with a run and photos as the page has them."""
    folder = tmp_path_factory.mktemp("page")
    for name in ("digits", "photos"):
        shutil.copytree(models / "out", folder / "output" / name)
    (folder / "new").mkdir()
    (folder / "dataset" / "digits" / "val" / "seven").mkdir(parents=True)
    for path in sorted((digits / "val").iterdir())[:3]:
        shutil.copy(path, folder / "new")
        shutil.copy(path, folder / "dataset" / "digits" / "val" / "seven")
    return folder


def commands():
    text = (ROOT / "docs/explain.md").read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    return [line.partition("#")[0].strip() for line in lines]


def test_every_command_is_on_the_page():
    assert {line.split()[1] for line in commands()} == {"explain", "infer", "similar", "compare"}


@pytest.mark.parametrize(
    "line", [line for line in commands() if line.split()[1] in ("explain", "infer", "similar")], ids=lambda line: line
)
def test_the_commands_can_be_typed(folder, run, line):
    words = shlex.split(line)[1:]
    run(*("digit-3" if word == "seven" else word for word in words), cwd=folder)
    if "--out" in words:
        assert (folder / words[words.index("--out") + 1]).exists()


def test_the_code_can_be_pasted(folder, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/explain.md").read_text(), re.DOTALL)
    monkeypatch.chdir(folder)
    names = {}
    exec(block, names)
    assert names["item"].picture.shape == cv2.imread(names["item"].answer["file_name"]).shape
    assert json.dumps(names["item"].answer)
