"""``Global.imports``, which a recipe imports, and ``Global.imported``, which records what a run was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional

from ppcls.config.tree import Node, descend, plain
from ppcls.errors import ConfigError
from ppcls.registry.importing import import_from, is_path
from ppcls.registry.provenance import require_imported

IMPORTS, IMPORTED = ("Global", "imports"), ("Global", "imported")


def load_imports(tree: Node, stored_in: Optional[str] = None) -> None:
    """Import ``Global.imports``; require ``Global.imported``.

    Paths are relative to the file that they are written in, those of ``-o`` to the working directory. Values of the
    wrong type are left to the check of the whole recipe.

    Args:
        stored_in: the checkpoint that the recipe was read from. Its imports are refused.

    Raises:
        ConfigError: an import fails, or what the recipe was made with is not imported.
    """
    for node in _items(tree, IMPORTS):
        if not isinstance(node.value, str):
            continue
        if node.origin == stored_in:
            raise ConfigError(f"{stored_in}: asks to import {node.value}, which no checkpoint may; use --import")
        import_from(node.value, f"{node.origin}: Global.imports: {node.value}", _folder(node.origin))
    records: List[Mapping[str, Any]] = []
    origin = tree.origin
    for node in _items(tree, IMPORTED):
        record, origin = plain(node), node.origin
        if isinstance(record, dict) and isinstance(record.get("name"), str):
            records.append(record)
    require_imported(records, origin)


def absolute_imports(tree: Node) -> List[str]:
    """Return ``Global.imports`` with absolute paths, which mean the same in another folder."""
    targets = []
    for node in _items(tree, IMPORTS):
        if is_path(node.value):
            targets.append(str((_folder(node.origin) / Path(node.value).expanduser()).resolve()))
        else:
            targets.append(node.value)
    return targets


def _items(tree: Node, path: Any) -> List[Node]:
    node, reached = descend(tree, path)
    return list(node.value) if reached == path and isinstance(node.value, list) else []


def _folder(origin: str) -> Path:
    """Return the folder to which a path written at ``origin`` is relative: that of the file, if it is one."""
    file = Path(origin.rpartition(":")[0])
    return file.parent if not origin.startswith("-o ") and file.is_file() else Path()
