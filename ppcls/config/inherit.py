"""``_base_: file.yaml`` (or a list of files): recipes built on others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Tuple

from ppcls.config.find import find
from ppcls.config.source import parse
from ppcls.config.tree import Node, plain
from ppcls.errors import ConfigError

BASE = "_base_"
DELETE = "_delete_"


def read(path: Path) -> Node:
    """Read a recipe and, below it, the files that it names as its base.

    Mappings are merged key by key, anything else is replaced. ``_delete_: true`` in a mapping drops what the bases
    had there first: for a component with another name, whose arguments do not mix with the base's.

    Raises:
        ConfigError: unreadable file, invalid YAML, a base that is missing, or bases in a circle.
    """
    return without_marks(_read(path, ()))


def _read(path: Path, opened: Tuple[Path, ...]) -> Node:
    if path.resolve() in opened:
        circle = [*opened[opened.index(path.resolve()) :], path.resolve()]
        raise ConfigError(f"{path}: {BASE} goes in a circle: {' -> '.join(p.name for p in circle)}")
    root = _parse_file(path)
    own = dict(root.value)
    bases = own.pop(BASE, Node([], root.origin))
    names = plain(bases)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{bases.origin}: {BASE} takes a file name or a list of file names")
    merged = Node({}, root.origin)
    for name in names:
        target = _base_file(path, name, bases.origin)
        merged = merge(merged, _read(target, (*opened, path.resolve())))
    return merge(merged, Node(own, root.origin))


def _base_file(path: Path, name: str, origin: str) -> Path:
    """Return the file meant by ``_base_: name``: beside the recipe, else in the shipped library."""
    target = Path(os.path.normpath(path.parent / name))
    if target.is_file():
        return target
    try:
        return find(name)
    except ConfigError:
        raise ConfigError(
            f"{origin}: {BASE} {name}: no such file ({target}), nor a shipped recipe of this name"
        ) from None


def merge(base: Node, top: Node) -> Node:
    """Return ``base`` overlaid by ``top``. A delete mark stays in the result: it concerns earlier bases too."""
    if not isinstance(top.value, dict):
        return top
    delete = top.value.get(DELETE)
    if delete is not None and not isinstance(delete.value, bool):
        raise ConfigError(f"{delete.origin}: {DELETE} is true or false, not {plain(delete)!r}")
    below = base.value if isinstance(base.value, dict) and not (delete and delete.value) else {}
    nothing = Node(None, top.origin)
    own = {key: merge(below.get(key, nothing), value) for key, value in top.value.items()}
    return Node({**below, **own}, top.origin)


def without_marks(node: Node) -> Node:
    """Return the tree without its delete marks, once everything is merged."""
    if isinstance(node.value, dict):
        kept = {key: without_marks(value) for key, value in node.value.items() if key != DELETE}
        return Node(kept, node.origin)
    return node


def _parse_file(path: Path) -> Node:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    root = parse(text, str(path))
    if not isinstance(root.value, dict):
        raise ConfigError(f"{path}:1: a recipe is a mapping of sections (Global, Arch, ...)")
    return root
