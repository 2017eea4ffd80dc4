"""Every fenced block of bash, Python and YAML in the documentation is executed, unless a mark says why not.

CONTRIBUTING.md has the marks and what blocks find in their working folder. The rules for commands that would change the
machine are in ``tests.docs.shims``, those for trainings in ``tests.docs.shorten``.
"""

import importlib.util
import re

import pytest

from tests.docs import world as worlds
from tests.docs.pages import PAGES, blocks
from tests.docs.runner import Runner

# README_ch.md has the blocks of README.md, see test_docs.py.
EXECUTED = [page for page in PAGES if page != "README_ch.md" and any(block.is_executed for block in blocks(page))]


# The pages that take longest: launchers with two processes, many trainings and exports. Other tests do the same.
LONG = ("docs/distributed.md", "docs/export.md", "docs/own_photos.md", "docs/python.md", "docs/tuning.md")


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.slow, pytest.mark.long] if page in LONG else []) for page in EXECUTED],
)
def test_the_blocks_of_a_page_run(page, request, tmp_path):
    found = blocks(page)
    text = "".join(block.text for block in found if block.is_executed)
    if "onnx" in text.lower() and not importlib.util.find_spec("paddle2onnx"):
        pytest.skip("needs paddle2onnx")
    folder, tools = tmp_path / "page", tmp_path / "tools"
    tools.mkdir()
    if any(block.language != "yaml" for block in found if block.is_executed):
        worlds.copy(request.getfixturevalue("world"), folder, text)
    else:
        folder.mkdir()
    runner = Runner(page, folder, tools, re.search(r"report\.html|ppcls report", text) is not None)
    runner.run(found)
    if runner.missing:
        pytest.skip(f"without the commands that need {', '.join(sorted(set(runner.missing)))}")
