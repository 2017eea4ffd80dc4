"""Paths that people write."""

from __future__ import annotations

import difflib
import errno
import os
import stat
from pathlib import Path
from typing import Union

from ppcls.errors import ConfigError, DataError
from ppcls.utils.encoding import as_file_name

_LEAST_SIMILAR = 0.75  # of two names, so that one may be a typing error of the other


def user_path(path: Union[str, os.PathLike[str]]) -> Path:
    """Return a path with ``~`` or ``~name`` at its beginning expanded to the home folder.

    Raises:
        ConfigError: it is no path.
        DataError: there is no such user, or the path is in a folder that may not be entered.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"a path is text or a pathlib.Path, not {type(path).__name__}")
    try:
        expanded = Path(as_file_name(os.fspath(path))).expanduser()
    except RuntimeError:  # what pathlib raises where the home folder is not known
        first = Path(path).parts[0]
        raise DataError(
            f"{path}: no home folder known for {first}; if that is a folder's name, give its whole path"
        ) from None
    require_access(expanded)
    return expanded


def require_access(path: Path) -> None:
    """Refuse a path that this user may not look at; that there is nothing passes.

    Raises:
        DataError: it is in a folder that may not be entered, or is such a folder.
    """
    try:
        is_folder = stat.S_ISDIR(path.stat().st_mode)
    except PermissionError as error:
        raise DataError(f"{path}: {error.strerror}: check the permissions of its folder") from None
    except (OSError, ValueError):  # nothing there, or no possible name: said where it is used
        return
    if is_folder and not os.access(path, os.X_OK):
        raise DataError(f"{path}: {os.strerror(errno.EACCES)}: this user may not enter the folder")


def suggest_path(path: Path) -> str:
    """Return the end of a message about a missing path: "; did you mean photos?", which is beside it, or ""."""
    try:
        beside = [entry.name for entry in path.parent.iterdir() if not entry.name.startswith(".")]
    except OSError:
        return ""
    near = difflib.get_close_matches(path.name, beside, n=1, cutoff=_LEAST_SIMILAR)
    return f"; did you mean {path.with_name(near[0])}?" if near else ""


def add_suffix(prefix: Path, suffix: str) -> Path:
    """Return ``PREFIX + suffix`` (``with_suffix`` would cut a prefix at its last dot)."""
    return prefix.with_name(prefix.name + suffix)


def cache_folder() -> Path:
    """Return where downloaded files are kept: ``$PPCLS_HOME``, by default ``~/.cache/ppcls``."""
    home = os.environ.get("PPCLS_HOME")
    try:
        return user_path(home or "~/.cache/ppcls")
    except DataError as error:
        raise DataError(f"{error}; or set PPCLS_HOME to a folder for downloads") from None
