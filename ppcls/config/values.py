"""Recipes that are Python values: nested dicts, lists and scalars."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, Mapping

from ppcls.config.tree import Node, Path, dotted
from ppcls.errors import ConfigError

_SCALARS = (str, bool, int, float, type(None))


def from_values(values: Mapping[str, Any], origin: str) -> Node:
    """Return a recipe that is a mapping of sections as a tree.

    Args:
        origin: reported as the location of every value.

    Raises:
        ConfigError: a key is not text or has a dot, or a value's type is unsupported.
    """
    return _node(values, origin, ())


def _node(value: Any, origin: str, path: Path) -> Node:
    if isinstance(value, Mapping):
        return Node({_key(key, origin, path): _node(item, origin, (*path, key)) for key, item in value.items()}, origin)
    if isinstance(value, (list, tuple)):
        return Node([_node(item, origin, (*path, index)) for index, item in enumerate(value)], origin)
    if isinstance(value, PathLike):
        return Node(fspath(value), origin)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of NumPy's
        value = value.item()
    if not isinstance(value, _SCALARS):
        raise ConfigError(
            f"{origin}: {dotted(path)}: a recipe holds numbers, text, lists and dicts, not {type(value).__name__}"
        )
    return Node(value, origin)


def _key(key: Any, origin: str, path: Path) -> str:
    where = f"{origin}: {dotted(path)}: " if path else f"{origin}: "
    if not isinstance(key, str):
        raise ConfigError(f"{where}the key {key!r} must be text")
    if "." in key and path[:1] != ("Stages",):  # overrides of stages have dotted keys
        section, _, subkey = key.partition(".")
        nested = f"{{{section!r}: {{{subkey!r}: ...}}}}"
        raise ConfigError(f"{where}the key {key!r} has a dot in it: write {nested}, or give it in changes")
    return key
