"""Finding recipes: among the user's files first, then in the library shipped with the package."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Iterator, List

from ppcls.errors import ConfigError
from ppcls.utils.encoding import as_file_name
from ppcls.utils.paths import require_access

_PACKAGE = Path(__file__).resolve().parent.parent


def library() -> Path:
    """Return the folder of the shipped recipes."""
    installed = _PACKAGE / "configs"
    # In a checkout without symbolic links (some Windows clones) ppcls/configs is a text file.
    return installed.resolve() if installed.is_dir() else _PACKAGE.parent / "configs"


def recipes() -> List[str]:
    """Return all shipped recipes, as they can be given after ``-c``; fragments (``_base_``) are not recipes."""
    root = library()
    files = (path.relative_to(root) for path in root.rglob("*.yaml"))
    return sorted(path.as_posix() for path in files if not path.parts[0].startswith("_"))


def find(name: str) -> Path:
    """Return the file meant by ``-c name``: a path, or a name in the shipped library; ``.yaml`` may be left out.

    Raises:
        ConfigError: there is no such file; the message names the nearest shipped recipes.
        DataError: it is in a folder that may not be entered.
    """
    for candidate in _candidates(name):
        require_access(candidate)
        if candidate.is_file():
            return candidate
    shipped = {recipe[: -len(".yaml")]: recipe for recipe in recipes()}  # suffixes would make all names similar
    stem = _inside_library(name)
    stem = stem[: -len(".yaml")] if stem.endswith(".yaml") else stem
    near = [shipped[similar] for similar in difflib.get_close_matches(stem, list(shipped), n=3, cutoff=0.4)]
    if Path(name).is_dir():
        raise ConfigError(f"{name}: a folder, not a recipe; the recipe of a run is config.yaml in its folder")
    hint = f"; shipped recipes with similar names: {', '.join(near)}" if near else ""
    raise ConfigError(f"{name}: no such recipe, neither here nor in the shipped library{hint}")


def _candidates(name: str) -> Iterator[Path]:
    path = Path(as_file_name(os.path.expanduser(name)))  # noqa: PTH111 - pathlib raises an error for an unknown user
    for base in (path, library() / _inside_library(name)):
        for suffix in ("", ".yaml", ".yml"):
            yield base.with_name(base.name + suffix) if base.name else base


def _inside_library(name: str) -> str:
    """Return ``name`` without the folder of the library in a checkout, such as ``ppcls/configs``."""
    parts = [part for part in Path(name).parts if part not in (".", "..")]
    for prefix in (["ppcls", "configs"], ["configs"]):
        if parts[: len(prefix)] == prefix:
            parts = parts[len(prefix) :]
    return Path(*parts).as_posix() if parts else name
