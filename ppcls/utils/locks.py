"""One process at a time where two would spoil each other's files."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path
from typing import IO, Iterator

from ppcls.errors import MachineError
from ppcls.utils.logging import get_logger


@contextlib.contextmanager
def locked(path: Path, where: str, doing: str, advice: str) -> Iterator[None]:
    """Keep other processes out by a lock file; the system lets it go when this process ends, however it ends.

    Not on Windows, and not where the file system has no locks (said in a warning).

    Args:
        path: the file, in a folder that is there; removed afterwards.
        where: what is locked, the beginning of the messages.
        doing: what the other process is doing ("is training in this folder").
        advice: what to do about it.

    Raises:
        MachineError: another process holds it.
    """
    try:
        import fcntl  # noqa: F401
    except ImportError:  # Windows
        yield
        return
    while True:
        with path.open("a+", encoding="utf-8") as file:
            try:
                held = _take(file)
            except BlockingIOError:
                file.seek(0)
                holder = file.read().strip() or "another process"
                raise MachineError(f"{where}: {holder} {doing}; {advice}") from None
            if held and not _is_at(file, path):
                continue  # the one before has removed it since it was opened
            if not held:
                get_logger().warning("%s cannot be locked: do not start another process there", path.parent)
            try:
                yield
            finally:
                if held:
                    path.unlink(missing_ok=True)
            return


def _take(file: IO[str]) -> bool:
    """Lock a file and write who has it; return False where the file system has no locks.

    Raises:
        BlockingIOError: another process has it.
    """
    import fcntl

    try:
        # Not flock, whose locks live on in forked workers after this process was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise BlockingIOError(error.errno, error.strerror) from None
        return False
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()
    return True


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
