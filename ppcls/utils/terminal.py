"""What people see on a terminal: its width, colours, and lines that fit."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import unicodedata
from typing import List

_STYLES = {"bold": "1", "dim": "2", "green": "32", "yellow": "33", "red": "31"}
_NARROWEST = 20  # columns; nothing is made to fit into less


def is_terminal() -> bool:
    """Return whether standard error, where progress is shown, is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def has_colours() -> bool:
    """Return whether standard error shows colours: a terminal, without ``NO_COLOR`` (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def width() -> int:
    """Return how many columns a line may have: one less than there are, as some terminals wrap a full line."""
    if is_terminal():
        try:
            columns = os.get_terminal_size(sys.stderr.fileno()).columns
        except OSError:
            columns = 0
        if columns:
            return max(_NARROWEST, columns - 1)
    return max(_NARROWEST, shutil.get_terminal_size().columns - 1)


def styled(text: str, *styles: str) -> str:
    """Return a text in a colour or in bold, where standard error shows colours."""
    if not has_colours() or not styles:
        return text
    codes = ";".join(_STYLES[style] for style in styles)
    return f"\x1b[{codes}m{text}\x1b[0m"


def columns_of(text: str) -> int:
    """Return how many columns a text without styles takes: two for wide letters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def wrapped(text: str, indent: str = "  ") -> List[str]:
    """Return the lines of a text that fit the terminal; the ones after a break are indented.

    A path that is longer than a line stays in one piece, so that it can be copied.
    """
    lines: List[str] = []
    for line in text.splitlines() or [""]:
        lines += textwrap.wrap(
            line, width(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return lines
