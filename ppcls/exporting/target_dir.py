"""The export folder: written to a temporary sibling, then swapped in."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Iterator, Optional

from ppcls.config.schema import Config
from ppcls.errors import DataError, ExportError
from ppcls.inference import description
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

_OLD = "old"
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def prepare_target(config: Config) -> Path:
    """Return ``Global.save_inference_dir``; its parent is made, and writable.

    Raises:
        ExportError: it is a folder or file that is not an export.
        MachineError: nothing can be written there.
    """
    target = user_path(config.Global.save_inference_dir).resolve()
    name = f"Global.save_inference_dir={config.Global.save_inference_dir}"
    ensure_writable(target.parent, name, "choose another with -o Global.save_inference_dir=...")
    _clean_up(target)
    if target.exists() and not _is_empty(target) and not (target / description.FILE).is_file():
        raise ExportError(
            f"{target} exists and is not an exported model; choose another folder with -o Global.save_inference_dir=..."
        )
    return target


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


@contextlib.contextmanager
def temporary_export_dir(target: Path) -> Iterator[Path]:
    """Give the path of a new folder on the file system of ``target``; what is left of it is removed.

    Raises:
        ExportError: the disk is full.
    """
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{_prefix(target)}{os.getpid()}.") as temporary:
            yield Path(temporary) / "export"
    except OSError as error:
        if error.errno not in DISK_FULL_ERRNOS:
            raise
        raise ExportError(f"{target}: cannot be written: {error.strerror}; nothing was exported") from None


def replace(folder: Path, target: Path, weights: str) -> None:
    """Put a new export in the place of ``target``; other files in that folder stay there.

    A warning names an earlier export that was made of another run's weights.
    """
    if _is_empty(target):
        target.rmdir()
    if not target.exists():
        folder.replace(target)
        return
    replaced = _weights_of(target)
    if replaced is not None and Path(replaced).parent != Path(weights).parent:
        get_logger().warning(
            "%s held the export of %s, which is replaced; -o Global.save_inference_dir=... keeps both", target, replaced
        )
    for path in target.iterdir():
        if not path.name.startswith(description.STEM):
            _copy(path, folder / path.name)
    old = folder.with_name(_OLD)
    try:
        target.replace(old)
        folder.replace(target)
    except BaseException:  # a signal, too: what is still beside the target is about to be removed
        if not target.exists() and old.is_dir():
            old.replace(target)
        raise


def _copy(path: Path, to: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.copytree(path, to, symlinks=True)
    else:
        shutil.copy2(path, to, follow_symlinks=False)


def _prefix(target: Path) -> str:
    return f".{target.name}.{socket.gethostname()}."


def _clean_up(target: Path) -> None:
    """Remove what killed export processes of this machine left; restore an earlier export that one had moved away."""
    for leftover in target.parent.glob(f"{glob.escape(_prefix(target))}*"):
        pid = leftover.name[len(_prefix(target)) :].partition(".")[0]
        if not pid.isdigit() or _is_running(int(pid)):
            continue
        if not target.exists() and (leftover / _OLD).is_dir():
            (leftover / _OLD).replace(target)
        shutil.rmtree(leftover, ignore_errors=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _weights_of(target: Path) -> Optional[str]:
    """Return the weights that an earlier export was made of, None where that is not known."""
    try:
        weights = description.read(target).values["Model"].get("weights")
    except DataError:  # damaged
        return None
    return None if weights is None else str(weights)
