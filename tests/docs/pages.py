"""The pages of the documentation, their code blocks and the marks of these; ``python -m tests.docs.pages`` counts them.

A mark is an HTML comment on the line before a fence. CONTRIBUTING.md lists them.
"""

import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict

from tests.helpers.recipes import ROOT

PAGES = [
    "README.md",
    "README_ch.md",
    "CONTRIBUTING.md",
    *sorted(
        path.relative_to(ROOT).as_posix()
        for folder in ("docs", "deploy")
        for path in (ROOT / folder).rglob("*.md")
        if "node_modules" not in path.parts
    ),
]
LANGUAGES = ("bash", "python", "yaml")  # that are executed
MARKS = ("not run", "file", "base", "exit code", "output")
# Other names of these languages: a block would escape the tests by them.
_ALIASES = {"sh": "bash", "shell": "bash", "console": "bash", "zsh": "bash", "py": "python", "yml": "yaml"}
_FENCE = re.compile(r" *(?P<fence>`{3,}|~{3,}) *(?P<language>[\w+-]*)")
_MARK = re.compile(r" *<!-- *(?P<name>[a-z ]+?) *(?:: *(?P<value>.*?))? *-->")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        line: the number of its first line, below the fence.
        language: as the fence says, "" if it does not.
        marks: the values of its marks by name.
    """

    page: str
    line: int
    language: str
    text: str
    marks: Dict[str, str] = field(default_factory=dict)

    @property
    def is_executed(self):
        """Whether a test executes it."""
        return self.language in LANGUAGES and "not run" not in self.marks


def blocks(page, text=None):
    """Return the fenced blocks of a page in their order.

    Args:
        page: its path in the project.
        text: what it says; the file's content where it is None.

    Raises:
        ValueError: a mark or a language is unknown.
    """
    lines = ((ROOT / page).read_text(encoding="utf-8") if text is None else text).splitlines()
    found, number = [], 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            number += 1
            continue
        end = next(
            (row for row in range(number + 1, len(lines)) if lines[row].strip() == fence["fence"]),
            None,
        )
        if end is None:
            raise ValueError(f"{page}:{number + 1}: this block has no end")
        language = fence["language"].lower()
        if language in _ALIASES:
            raise ValueError(f"{page}:{number + 1}: write {_ALIASES[language]} instead of {language}")
        content = textwrap.dedent("".join(f"{line}\n" for line in lines[number + 1 : end]))
        found.append(Block(page, number + 2, language, content, _marks(page, lines, number)))
        number = end + 1
    return found


def _marks(page, lines, fence):
    """Return the marks on the lines right above a fence."""
    marks = {}
    for number in range(fence - 1, -1, -1):
        if not lines[number].lstrip().startswith("<!--"):
            break
        mark = _MARK.fullmatch(lines[number].rstrip())
        if mark is None or mark["name"] not in MARKS:
            raise ValueError(f"{page}:{number + 1}: unknown mark; there are {', '.join(MARKS)}")
        if (mark["value"] or "") == "" and mark["name"] != "output":
            raise ValueError(f"{page}:{number + 1}: write `<!-- {mark['name']}: ... -->`")
        marks[mark["name"]] = mark["value"] or ""
    return marks


def without_blocks(page):
    """Return (line, text) of a page's lines outside of fenced blocks."""
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    inside = {number for block in blocks(page) for number in range(block.line - 1, block.line + block.text.count("\n"))}
    return [(number, line) for number, line in enumerate(lines, start=1) if number not in inside]


def count():
    """Return how many blocks there are of each language, how many are executed, and why the others are not."""
    found = [block for page in PAGES for block in blocks(page) if block.language in LANGUAGES]
    lines = [f"{len(PAGES)} pages, {len(found)} blocks, {sum(block.is_executed for block in found)} executed"]
    for language in LANGUAGES:
        own = [block for block in found if block.language == language]
        lines.append(f"  {language}: {len(own)}, {sum(block.is_executed for block in own)} executed")
    reasons = Counter(block.marks["not run"] for block in found if not block.is_executed)
    return "\n".join([*lines, "not run:", *(f"  {number} {reason}" for reason, number in reasons.most_common())])


if __name__ == "__main__":
    print(count())
