"""Files of a report, which are replaced in one step; they can be made again, so nobody waits for the disk."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Iterator

from ppcls.errors import MachineError
from ppcls.utils import atomic
from ppcls.utils.encoding import as_text


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file by what the block writes to the path that it gets; the folder is made.

    Raises:
        MachineError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic.temporary_beside(path) as temporary:
            yield temporary
            temporary.replace(path)
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror or error}") from None


def write_text(path: Path, text: str) -> None:
    """Replace a text file.

    Raises:
        MachineError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(as_text(text), encoding="utf-8")
