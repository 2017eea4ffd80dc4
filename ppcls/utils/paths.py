"""Paths that people write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Union

from ppcls.errors import ConfigError, DataError


def user_path(path: Union[str, os.PathLike[str]]) -> Path:
    """Return a path with ``~`` or ``~name`` at its beginning expanded to the home folder.

    Raises:
        ConfigError: it is no path.
        DataError: there is no such user.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"a path is text or a pathlib.Path, not {type(path).__name__}")
    try:
        return Path(path).expanduser()
    except RuntimeError:  # what pathlib raises where the home folder is not known
        first = Path(path).parts[0]
        raise DataError(
            f"{path}: no home folder known for {first}; if that is a folder's name, give its whole path"
        ) from None


def add_suffix(prefix: Path, suffix: str) -> Path:
    """Return ``PREFIX + suffix`` (``with_suffix`` would cut a prefix at its last dot)."""
    return prefix.with_name(prefix.name + suffix)


def cache_folder() -> Path:
    """Return where downloaded files are kept: ``$PPCLS_HOME``, by default ``~/.cache/ppcls``."""
    home = os.environ.get("PPCLS_HOME")
    return user_path(home) if home else Path.home() / ".cache" / "ppcls"
