"""Lock files: one process at a time where two would overwrite each other's files."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from pathlib import Path
from typing import IO, Dict, Iterator, Optional, Tuple

from ppcls.errors import MachineError
from ppcls.utils.logging import get_logger

_POLL = 0.05  # seconds between two attempts
_LOCKED_BYTE = 1 << 30  # on Windows; beyond the text, which others could not read otherwise
# The paths that threads of this process have locked, with the process and the thread's attempt. The system's locks are
# of whole processes, and are lost when any thread closes the file. A forked process has its parent's entries.
_locked_paths: Dict[str, Tuple[int, object]] = {}


class _LockedError(Exception):
    """Another process or thread has the lock; the text names it."""


@contextlib.contextmanager
def locked(path: Path, where: str, doing: str, advice: str, wait: float = 0.0) -> Iterator[None]:
    """Keep other processes and threads out by a lock file.

    The system releases the lock when this process ends, however it ends. Where the file system has no locks, a warning
    says so.

    Args:
        path: the lock file, in a folder that exists; removed afterwards.
        where: what is locked, the beginning of the messages.
        doing: what another holder does ("is training in this folder").
        advice: what to do about it.
        wait: seconds to wait for another process.

    Raises:
        MachineError: another process still holds the lock.
        OSError: the lock file cannot be made.
    """
    deadline, told = time.monotonic() + wait, False
    while True:
        try:
            lock = _try_lock(path)
            break
        except _LockedError as holder:
            if time.monotonic() >= deadline:
                still = f" (after {wait:g} s of waiting)" if wait else ""
                raise MachineError(f"{where}: {holder} {doing}{still}; {advice}") from None
            if not told:
                get_logger().info("%s: waiting, because %s %s", where, holder, doing)
            told = True
            time.sleep(_POLL)
    try:
        yield
    finally:
        lock.close()


def _try_lock(path: Path) -> contextlib.ExitStack:
    """Lock a file; return what releases it.

    Raises:
        _LockedError: another process or thread has it.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(_locked_in_this_process(path))
        while True:
            file = path.open("a+", encoding="utf-8")
            try:
                has_locks = _lock_file(file)
            except BaseException:
                file.close()
                raise
            if has_locks and not _is_at(file, path):  # the holder before has removed it since it was opened
                file.close()
                continue
            break
        if has_locks:
            stack.callback(_remove, path, file)
        else:
            stack.callback(file.close)
            get_logger().warning("%s cannot be locked: do not start another process there", path.parent)
        return stack.pop_all()


@contextlib.contextmanager
def _locked_in_this_process(path: Path) -> Iterator[None]:
    key, entry = os.path.realpath(path), (os.getpid(), object())
    other = _locked_paths.setdefault(key, entry)
    if other is not entry:
        if other[0] == os.getpid():
            raise _LockedError(_this_process())
        _locked_paths[key] = entry  # the parent's, from before the fork; the system knows its lock
    try:
        yield
    finally:
        del _locked_paths[key]


def _lock_file(file: IO[str]) -> bool:
    """Lock a file and write into it which process has it; return False where the file system has no locks.

    Raises:
        _LockedError: another process has it.
    """
    error = _lock_by_system(file)
    if error in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
        file.seek(0)
        raise _LockedError(file.read().strip() or "another process")
    if error is not None:
        return False
    file.truncate(0)
    file.write(_this_process())
    file.flush()
    return True


def _lock_by_system(file: IO[str]) -> Optional[int]:
    """Lock a file without waiting; return the number of the error, None if it is locked now."""
    try:
        import fcntl
    except ImportError:
        import msvcrt

        file.seek(_LOCKED_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError as error:
            return error.errno or errno.EACCES
        return None
    try:
        # Not flock, whose locks live on in forked workers after this process was killed.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno or errno.EACCES
    return None


def _remove(path: Path, file: IO[str]) -> None:
    """Remove a lock file and release its lock, in this order: it may be another's as soon as it is released."""
    with contextlib.suppress(OSError):  # Windows does not remove open files: it stays, and is used again
        path.unlink()
    file.close()


def _is_at(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
