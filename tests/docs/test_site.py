"""The documentation as a site: no warning, nothing loaded from other hosts, and links that lead somewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.helpers.recipes import ROOT

# What browsers load by itself, by tag: the attribute that names it.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}
PAGES = [
    *(ROOT / "docs").rglob("*.md"),
    *(ROOT / "deploy").rglob("*.md"),
    *(ROOT / name for name in ("README.md", "README_ch.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]


@pytest.fixture(scope="session")
def config(tmp_path_factory):
    pytest.importorskip("material", reason='needs mkdocs-material: pip install ".[docs]"')
    from mkdocs.config import load_config

    return load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path_factory.mktemp("site")))


@pytest.fixture(scope="session")
def site(config):
    """Return the folder of the site; warnings, as of a link that leads nowhere, are errors (``strict``)."""
    from mkdocs.commands.build import build

    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return Path(config.site_dir)


class Page(HTMLParser):
    """What a page of the site loads, links to, and can be linked by."""

    def __init__(self, path):
        super().__init__()
        self.loads, self.links, self.anchors, self.paragraphs = [], [], set(), []
        self._in_paragraph = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors.add(given.get("id"))
        target = given.get(LOADED.get(tag))
        if target is not None and given.get("rel") not in ("next", "prev", "canonical"):
            self.loads.append(target)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag == "p":
            self._in_paragraph = True
            self.paragraphs.append("")

    def handle_endtag(self, tag):
        if tag == "p":
            self._in_paragraph = False

    def handle_data(self, data):
        if self._in_paragraph:
            self.paragraphs[-1] += data


@pytest.fixture(scope="session")
def pages(site):
    return {path: Page(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_page_is_in_the_navigation(config):
    def leaves(node):
        if isinstance(node, str):
            yield node
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from leaves(child)

    expected = {path.relative_to(ROOT).as_posix() for path in PAGES if "node_modules" not in path.parts}
    assert sorted(leaves(config.nav)) == sorted(expected)


def test_nothing_is_loaded_from_other_hosts(site, pages):
    for path, page in pages.items():
        assert not [target for target in page.loads if urlsplit(target).netloc], path
        # These components of the theme would load a library from elsewhere.
        assert not re.search(r'class="[^"]*\b(mermaid|arithmatex)\b', path.read_text(encoding="utf-8")), path
    for path in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*['\"]?(https?:)?//", path.read_text(encoding="utf-8")), path


def test_every_link_leads_to_a_file_and_an_anchor(site, pages):
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file() and site in target.parents, f"{path}: {link}"
            if parts.fragment and target in pages and parts.fragment != "__skip":
                assert unquote(parts.fragment) in pages[target].anchors, f"{path}: {link}"


def test_lists_and_tables_are_shown_as_such(pages):
    """Hosts of Git repositories take some lists and tables for such that the site's Markdown does not."""
    for path, page in pages.items():
        for paragraph in page.paragraphs:
            assert not re.search(r"(?m)^\s*([-*] |1\. |\|.*\|$|```)", paragraph), f"{path}: {paragraph}"
