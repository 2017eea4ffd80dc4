"""The last lines of a command: what was reached, where things are, and the next command.

They are printed on standard error, for people, whether it is a terminal or not: standard output has data only (JSON),
which a pipe may read, and a log file that has the ending says more.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import List, Mapping, Union

from ppcls.utils import distributed

PathLike = Union[str, "os.PathLike[str]"]
_LINES = 2  # for the places of things


def say(reached: str, where: Mapping[str, PathLike], next_command: str = "") -> None:
    """Print the ending of a command, of at most four lines, once if there are several processes.

    Args:
        reached: one line, such as "trained: 98.2 % top-1 after 12 epochs".
        where: paths by what they are, such as {"report": "output/photos/report.html"}; one per line, or several where
            there are more than two.
        next_command: what to type next, as ``command`` returns it; "" prints none.
    """
    if not distributed.is_main():
        return
    sys.stdout.flush()  # both may be one file, where the ending belongs at the end
    lines = [reached, *_places(where)]
    if next_command:
        lines.append(f"next: {next_command}")
    print("\n".join(lines), file=sys.stderr)


def command(*words: PathLike) -> str:
    """Return a command to type in the working directory; paths below it are relative, and words are quoted."""
    return shlex.join(short(word) if isinstance(word, os.PathLike) else word for word in words)


def short(path: PathLike) -> str:
    """Return a path as short as it can be typed: relative if it is below the working directory."""
    absolute, here = Path(path).absolute(), Path.cwd()
    inside = here in absolute.parents and ".." not in absolute.parts
    return str(absolute.relative_to(here)) if inside else str(path)


def _places(where: Mapping[str, PathLike]) -> List[str]:
    """Return the lines that say where things are."""
    width = max(map(len, where), default=0) if len(where) <= _LINES else 0
    texts = [f"{name + ':':<{width + 1}} {short(path)}" for name, path in where.items()]
    count = -(-len(texts) // _LINES) or 1  # on one line
    return ["  " + "   ".join(texts[start : start + count]) for start in range(0, len(texts), count)]
