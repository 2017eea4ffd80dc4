"""A loaded recipe as its author wrote it."""

from __future__ import annotations

from typing import Any, Dict, List, Union

from ppcls.config.schema import Config
from ppcls.config.tree import Node, Path
from ppcls.config.values import from_values

_DERIVED = ("derived from ", "recorded")  # origins of values that loading adds


def written_values(config: Config) -> Node:
    """Return a recipe without defaults and derived values, to be changed and loaded again."""
    values = {**config.plain()}
    values["Global"] = {**values["Global"], "imports": list(config.Global.imports)}
    root: Dict[Any, Any] = {}
    for path, origin in config._origins.items():
        if not origin.startswith(_DERIVED):
            _put(root, values, path, origin)
    return _node(root)


def _put(root: Dict[Any, Any], values: Any, path: Path, origin: str) -> None:
    """Add the value at ``path`` to nested dicts, in which positions of lists are keys."""
    for part in path[:-1]:
        root, values = root.setdefault(part, {}), values[part]
    root[path[-1]] = from_values({"value": values[path[-1]]}, origin).value["value"]


def _node(value: Union[Node, Dict[Any, Any]]) -> Node:
    if isinstance(value, Node):
        return value
    children = {key: _node(item) for key, item in value.items()}
    origin = next(iter(children.values())).origin if children else "the dict"
    items: List[Node] = list(children.values())
    return Node(items if children and all(isinstance(key, int) for key in children) else children, origin)
