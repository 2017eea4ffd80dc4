"""Text files that people write, with whatever editor, and texts for messages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Sequence, Tuple

from ppcls.errors import DataError


def read_lines(path: Path) -> List[Tuple[int, str]]:
    """Return (line number, text) of a UTF-8 text file's lines, whatever their ends; a byte-order mark is dropped.

    Raises:
        DataError: the file cannot be read, or is not UTF-8.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 text; save the file as UTF-8") from None
    # Not str.splitlines: it also splits at characters that file names may contain.
    return [(number, line.rstrip("\r")) for number, line in enumerate(text.split("\n"), 1)]


def printable(text: Any) -> str:
    """Return a name from a file for a message: short, and without control characters."""
    if not isinstance(text, str):
        return type(text).__name__
    text = text if len(text) <= 100 else f"{text[:100]}..."
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def listed(items: Sequence[Any], limit: int = 10, separator: str = ", ") -> str:
    """Return the first items as text for a message, and how many more there are."""
    more = [f"... and {len(items) - limit:,} more"] if len(items) > limit else []
    return separator.join([*map(str, items[:limit]), *more])
