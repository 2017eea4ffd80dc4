"""What pages say about each other and about the project: links, paths and names in Python."""

import pkgutil
import re

import pytest

from tests.docs.pages import LANGUAGES, PAGES, blocks
from tests.helpers.recipes import ROOT

# CHANGELOG.md has no blocks that are run.
EVERY_PAGE = [*PAGES, "CHANGELOG.md"]


def test_both_readmes_have_the_same_blocks():
    """The blocks of README.md are executed, see test_blocks.py."""
    ours, theirs = (
        [(block.language, block.text, block.marks) for block in blocks(page) if block.language in LANGUAGES]
        for page in ("README.md", "README_ch.md")
    )
    assert ours == theirs


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", (ROOT / page).read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", EVERY_PAGE)
def test_files_and_python_names_exist(page):
    text = (ROOT / page).read_text()
    text = re.sub(r"(?m)^( *\|)[^|]*(\| `ppcls\.[^|]*\|)$", r"\1\2", text)  # old names in the table of moved modules
    folders = "ppcls|tests|benchmarks|tools|deploy|configs|docs|logs"
    for path in re.findall(rf"(?:`|python )((?:{folders})/[\w./-]+)(?![\w./*<-])", text):
        assert (ROOT / path).exists(), path
    for name in set(re.findall(r"`(ppcls(?:\.\w+)+)", text)) - {"ppcls.components", "ppcls.deploy"}:
        assert pkgutil.resolve_name(name) is not None


def anchors(page):
    """Return what links may name in a page: its headings, as hosts of Markdown write them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
