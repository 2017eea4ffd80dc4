"""Hooks of mkdocs, by which pages of the whole repository are one site.

mkdocs knows one folder of pages. Here each page and file has its path in the repository (``docs/training.md``,
``CONTRIBUTING.md``), so that a relative link leads to the same page on a host of Git repositories and in the site.
"""

import re
from pathlib import Path

from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = ("README.md", "README_ch.md", "CONTRIBUTING.md", "CHANGELOG.md", "deploy/**/*.md")
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(?:#[^)\s]*)?\)")


def on_files(files, config):
    """Return files under their paths in the repository: those of docs, pages outside of it, and what they link to."""
    result = Files([])
    for file in files:
        ours = file.src_dir == config.docs_dir
        result.append(in_repository(f"docs/{file.src_uri}", config, file.dest_uri) if ours else file)
    for path in sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern)):
        if "node_modules" not in path.parts:
            name = path.relative_to(ROOT).as_posix()
            result.append(in_repository(name, config, "README.html" if name == "README.md" else None))
    for page in list(result.documentation_pages()):
        for target in linked_paths(page):
            name = target.relative_to(ROOT).as_posix()
            if target.is_file() and name not in result.src_uris:
                result.append(in_repository(name, config, name, InclusionLevel.INCLUDED))
    return result


def on_page_markdown(markdown, page, config, files):
    """Return the page's text without links to folders, which a site does not have."""
    folders = {target for target in linked_paths(page.file) if target.is_dir()}
    return LINK.sub(lambda link: link[1] if resolved(page.file, link[2]) in folders else link[0], markdown)


def in_repository(name, config, destination=None, inclusion=InclusionLevel.UNDEFINED):
    """Return a file of the repository as mkdocs knows it; without a destination mkdocs chooses it by the name."""
    return File(name, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=destination, inclusion=inclusion)


def linked_paths(file):
    """Yield what a page's links to other files of the repository lead to."""
    for _, link in LINK.findall(file.content_string):
        target = resolved(file, link)
        if "://" not in link and target.exists() and ROOT in target.parents:
            yield target


def resolved(file, link):
    """Return the path that a relative link of a page leads to."""
    return (ROOT / file.src_uri).parent.joinpath(link).resolve()
