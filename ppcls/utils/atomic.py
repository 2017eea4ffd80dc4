"""Files that are replaced in one step: whatever happens, either the old content or the new one can be read."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Iterator, Mapping

from ppcls.errors import MachineError
from ppcls.utils.encoding import as_text


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Replace a file by what the block writes.

    The block gets the path of a temporary file in the same folder. When the block ends, that file is forced to disk and
    takes the place of ``path``. When the block raises, ``path`` stays as it is and the temporary file is removed.

    Raises:
        OSError: the file could not be written.
    """
    with temporary_beside(path) as temporary:
        yield temporary
        move_into_place(temporary, path)


@contextlib.contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file in the folder of ``path``; it is removed after the block.

    No other process or thread gets the same path, not even on other machines.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):  # it was moved, or never written
            temporary.unlink()


def move_into_place(temporary: Path, path: Path) -> None:
    """Force a complete file to disk, then let it replace ``path`` in one step.

    Raises:
        OSError: ``path`` was not replaced.
    """
    fsync(temporary)
    temporary.replace(path)


def write_text(path: Path, text: str) -> None:
    """Replace a text file in one step.

    Raises:
        MachineError: it could not be written.
    """
    write_texts({path: text})


def write_texts(texts: Mapping[Path, str]) -> None:
    """Replace text files that belong together: all are written before the first takes its place.

    Raises:
        MachineError: one could not be written.
    """
    path = Path()
    try:
        with contextlib.ExitStack() as stack:
            written = []
            for path, text in texts.items():
                temporary = stack.enter_context(temporary_beside(path))
                temporary.write_text(as_text(text), encoding="utf-8")
                fsync(temporary)
                written.append((temporary, path))
            for temporary, path in written:
                temporary.replace(path)
    except OSError as error:
        raise MachineError(f"{path} cannot be written: {error.strerror}") from None


def fsync(path: Path) -> None:
    """Force a file or folder to disk, where it survives a power cut."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
