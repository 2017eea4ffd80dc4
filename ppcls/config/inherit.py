"""``_base_: file.yaml`` (or a list of files): recipes built on others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import List, Optional, Tuple

from ppcls.config.find import find
from ppcls.config.source import parse
from ppcls.config.tree import Node, plain
from ppcls.errors import ConfigError

BASE = "_base_"
DELETE = "_delete_"


def read(path: Path) -> Node:
    """Read a recipe and, below it, the files that it names as its base.

    Mappings are merged key by key, anything else is replaced. ``_delete_: true`` in a mapping first drops what the
    bases have there: for a component with another name, which has other arguments. A list of keys drops only these.

    Raises:
        ConfigError: unreadable file, invalid YAML, a base that is missing, or bases in a circle.
    """
    return without_marks(_read(path, ()))


def resolve(root: Node) -> Node:
    """Return a recipe given as a dict merged with its bases, which are relative to the working directory.

    Raises:
        ConfigError: as ``read``.
    """
    return without_marks(_merged(root, Path(), ()))


def _read(path: Path, opened: Tuple[Path, ...]) -> Node:
    if path.resolve() in opened:
        circle = [*opened[opened.index(path.resolve()) :], path.resolve()]
        raise ConfigError(f"{path}: {BASE} leads back to the same file: {' -> '.join(p.name for p in circle)}")
    return _merged(_parse_file(path), path.parent, (*opened, path.resolve()))


def _merged(root: Node, folder: Path, opened: Tuple[Path, ...]) -> Node:
    """Return a recipe merged with its bases, which are looked for in ``folder``, then in the library."""
    sections = dict(root.value)
    bases = sections.pop(BASE, Node([], root.origin))
    names = plain(bases)
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"{bases.origin}: {BASE} takes a file name or a list of file names")
    merged = Node({}, root.origin)
    for name in names:
        target = _base_file(folder, name, bases.origin)
        merged = merge(merged, _read(target, opened))
    return merge(merged, Node(sections, root.origin))


def _base_file(folder: Path, name: str, origin: str) -> Path:
    """Return the file meant by ``_base_: name``: in the recipe's folder, else in the shipped library."""
    target = Path(os.path.normpath(folder / name))
    if target.is_file():
        return target
    try:
        return find(name)
    except ConfigError:
        raise ConfigError(
            f"{origin}: {BASE} {name}: no such file ({target}), nor a shipped recipe of this name"
        ) from None


def merge(base: Node, top: Node) -> Node:
    """Return ``base`` overlaid by ``top``. A delete mark stays in the result, as it concerns earlier bases too."""
    if not isinstance(top.value, dict):
        return top
    below = base.value if isinstance(base.value, dict) else {}
    mark = top.value.get(DELETE)
    earlier = below.get(DELETE)
    dropped = _dropped(mark)
    below = {key: value for key, value in below.items() if dropped is not None and key not in dropped}
    nothing = Node(None, top.origin)
    above = {key: merge(below.get(key, nothing), value) for key, value in top.value.items() if key != DELETE}
    marks = {} if mark is None and earlier is None else {DELETE: _combined_mark(earlier, mark)}
    return Node({**below, **above, **marks}, top.origin)


def _dropped(mark: Optional[Node]) -> Optional[List[str]]:
    """Return the keys that a delete mark drops, None if it drops all.

    Raises:
        ConfigError: the mark is neither true nor false, nor a list of keys.
    """
    value = False if mark is None else plain(mark)
    if isinstance(value, list) and all(isinstance(key, str) for key in value):
        return value
    if not isinstance(value, bool):
        assert mark is not None
        raise ConfigError(f"{DELETE} is true or false, or a list of keys, not {value!r}", mark.origin)
    return None if value else []


def _combined_mark(earlier: Optional[Node], mark: Optional[Node]) -> Node:
    """Return the mark that drops what both drop."""
    marks = [node for node in (earlier, mark) if node is not None]
    lists = [_dropped(node) for node in marks]
    everything = [node for node, keys in zip(marks, lists) if keys is None]
    if everything:
        return everything[0]
    keys = [key for part in lists for key in part or []]
    return Node([Node(key, marks[-1].origin) for key in keys], marks[-1].origin)


def without_marks(node: Node) -> Node:
    """Return the tree without its delete marks, once everything is merged."""
    if isinstance(node.value, dict):
        children = {key: without_marks(value) for key, value in node.value.items() if key != DELETE}
        return Node(children, node.origin)
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
