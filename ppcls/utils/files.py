"""Reading files that may be something else than files."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Union


def read_regular_file(path: Path, size: int = -1) -> bytes:
    """Return the content of a regular file. Anything else, such as a named pipe, is refused instead of waited for.

    Args:
        size: bytes to read at most; -1 reads all.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    with open(path, "rb", opener=open_nonblocking) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(size)


def open_nonblocking(path: Union[str, Path], flags: int) -> int:
    """Open a file like ``os.open``, but do not wait for the other end of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def why_unreadable(path: str, error: OSError) -> str:
    """Return why a file cannot be read, with a hint where there is one."""
    try:
        target = os.readlink(path)  # noqa: PTH115
    except OSError:
        target = ""
    if target and not os.path.exists(path):  # noqa: PTH110
        return f"a link to {target}, where there is no file"
    if os.sep == "/" and "\\" in path and os.path.exists(path.replace("\\", "/")):  # noqa: PTH110
        return "no such file, but there is one with / in place of \\: write the list's paths with /"
    return "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
