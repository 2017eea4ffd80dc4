"""``-o Key.sub.0.name=value``: command-line changes to a recipe."""

from __future__ import annotations

import re
from typing import Any, Callable, List, Mapping, Sequence, Tuple, Union

from ppcls.config.numbers import parse_scalar
from ppcls.config.source import is_tuple, parse, parse_tuple
from ppcls.config.tree import Node, Path, dotted
from ppcls.config.values import from_values
from ppcls.errors import ConfigError
from ppcls.registry import suggest

_LONGEST_ORIGIN = 80  # characters
# ["Global.epochs=3"], or {"Global.epochs": 3}; None for none.
Changes = Union[Sequence[str], Mapping[str, Any], None]


def apply(root: Node, changes: Changes) -> Tuple[Node, List[str]]:
    """Return the tree with all changes applied in order, and messages about those that failed.

    Args:
        changes: ``Key.sub=value`` overrides, or values by dotted key.
    """
    problems = []
    for change in as_list(changes):
        try:
            path, value = read(change) if isinstance(change, str) else _of_mapping(*change)
            root = set_at(root, _in_stage(path), value)
        except ConfigError as error:
            problems.append(str(error))
    return root, problems


def as_list(changes: Changes) -> List[Any]:
    """Return changes one by one: text, or (key, value).

    Raises:
        ConfigError: they are something else.
    """
    if changes is None:
        return []
    if isinstance(changes, str):
        return [changes]
    if isinstance(changes, Mapping):
        return list(changes.items())
    for change in changes if isinstance(changes, Sequence) else [changes]:
        if not (isinstance(change, str) or (isinstance(change, tuple) and len(change) == 2)):
            raise ConfigError(f"changes: a list of 'Key.sub=value' or a dict is expected, not {change!r:.60}")
    return list(changes)


def _of_mapping(key: Any, value: Any) -> Tuple[List[str], Node]:
    """Return the path and value of ``{"Key.sub": value}``; messages show it as ``-o`` would."""
    origin = _origin(f"{key}={value}")
    if not isinstance(key, str):
        raise ConfigError(f"{origin}: the key {key!r} must be text, for example 'Global.epochs'")
    return _parts(key, origin), from_values({"value": value}, origin, as_written=True).value["value"]


def _origin(change: str) -> str:
    """Return a change as messages name it; each mistake in a long one would repeat all of it."""
    return f"-o {change if len(change) <= _LONGEST_ORIGIN else change[: _LONGEST_ORIGIN - 3] + '...'}"


def _parts(key: str, origin: str) -> List[str]:
    parts = key.strip().split(".")
    if not all(parts):
        raise ConfigError(f"{origin}: write it as Section.key=value, for example -o Global.epochs=3")
    return parts


def read(text: str) -> Tuple[List[str], Node]:
    """Split ``Key.sub=value`` at its first '=' and give the value its YAML type.

    Raises:
        ConfigError: no '=', an empty key, or a value that starts like a list, mapping or quoted text but is not one.
    """
    origin = _origin(text)
    key, equals, value = text.partition("=")
    parts = _parts(key if equals else "", origin)
    return parts, _relabel(_typed(value.strip(), origin), origin)


def _typed(value: str, origin: str) -> Node:
    if value[:1] in "[{'\"" and value:
        return parse(value, origin)
    if is_tuple(value):
        return parse_tuple(value, origin)
    # Anything else is one word: a path with ': ', ' #' or '*' in it stays what the user typed.
    return Node(parse_scalar(value), origin)


def _relabel(node: Node, origin: str) -> Node:
    if isinstance(node.value, dict):
        return Node({key: _relabel(item, origin) for key, item in node.value.items()}, origin)
    if isinstance(node.value, list):
        return Node([_relabel(item, origin) for item in node.value], origin)
    return Node(node.value, origin)


def _in_stage(path: List[str]) -> List[str]:
    """Return the path of ``Stages.1.override.Global.epochs`` with the part behind ``override`` as one dotted key."""
    return [*path[:3], ".".join(path[3:])] if path[0] == "Stages" and path[2:3] == ["override"] and path[3:] else path


def set_at(
    node: Node,
    parts: Sequence[str],
    value: Node,
    prefix: Path = (),
    combine: Callable[[Node, Node], Node] = lambda old, new: new,
) -> Node:
    """Return ``node`` with the value at ``parts`` below it replaced; nodes are never changed in place.

    Args:
        prefix: the path of ``node`` itself.
        combine: returns the new value, given the node that is there and ``value``.

    Raises:
        ConfigError: there is no such position in a list, or ``parts`` lead through a scalar.
    """
    if not parts:
        return combine(node, value)
    part, remaining = parts[0], parts[1:]
    if isinstance(node.value, list):
        index = _position(part, node.value, prefix, value.origin)
        items = list(node.value)
        items[index] = set_at(items[index], remaining, value, (*prefix, index), combine)
        return Node(items, node.origin)
    if isinstance(node.value, dict) or node.value is None:
        children: dict[str, Any] = dict(node.value or {})
        children[part] = set_at(
            children.get(part, Node(None, value.origin)), remaining, value, (*prefix, part), combine
        )
        return Node(children, node.origin)
    raise ConfigError(f"{dotted(prefix)} is {node.value!r}, it has no {part!r} below it", value.origin)


def _position(part: str, items: List[Node], prefix: Path, origin: str) -> int:
    """Return the list position meant by ``part``: a number, or the name of a component in the list."""
    if re.fullmatch(r"-?[0-9]{1,9}", part):
        index = int(part)
        if not 0 <= index < len(items):
            raise ConfigError(f"{dotted(prefix)} has positions 0 to {len(items) - 1}, there is no {part}", origin)
        return index
    names = [next(iter(item.value)) for item in items if isinstance(item.value, dict) and len(item.value) == 1]
    raise ConfigError(
        f"{dotted(prefix)} is a list: give a position from 0 to {len(items) - 1} before {part!r}"
        + (suggest(part, [f"{index}.{name}" for index, name in enumerate(names)]) if names else ""),
        origin,
    )
