"""A loaded recipe as the tree of what its author wrote."""

from __future__ import annotations

from typing import Any, Dict, List, Union

from ppcls.config.schema import Config
from ppcls.config.tree import Node, Path
from ppcls.config.values import from_values

_DERIVED = ("derived from ", "recorded")  # the origins of what loading adds


def written_values(config: Config) -> Node:
    """Return what a recipe says without defaults and derived values, each value with its origin.

    It can be changed and loaded again.
    """
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


def _node(found: Union[Node, Dict[Any, Any]]) -> Node:
    if isinstance(found, Node):
        return found
    children = {key: _node(item) for key, item in found.items()}
    origin = next(iter(children.values())).origin if children else "dict"
    items: List[Node] = list(children.values())
    return Node(items if children and all(isinstance(key, int) for key in children) else children, origin)
