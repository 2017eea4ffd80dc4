"""Recipes that are Python values: nested dicts, lists and scalars."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Any, Mapping

from ppcls.config.numbers import parse_scalar, with_text
from ppcls.config.source import is_text_in_yaml, is_tuple, parse_tuple
from ppcls.config.tree import Node, Path, dotted
from ppcls.errors import ConfigError

_SCALARS = (str, bool, int, float, type(None))


def from_values(values: Mapping[str, Any], origin: str, as_written: bool = False) -> Node:
    """Return a recipe that is a mapping of sections as a tree.

    Args:
        origin: reported as the location of every value.
        as_written: whether texts may be what a YAML reader makes of a recipe. Recipes have more numbers than YAML:
            1e-3, 1.0/255.0 and, for users of PaddleClas, (3, 224, 224) and None are text to PyYAML. They are read as
            in a file or after ``-o`` then; arguments that take text get the text of a number. A text that YAML itself
            would read as a number, such as "224", was quoted, and stays text.

    Raises:
        ConfigError: a key is not text or has a dot, or a value's type is unsupported.
    """
    return _node(values, origin, (), as_written)


def _node(value: Any, origin: str, path: Path, as_written: bool) -> Node:
    if isinstance(value, Mapping):
        items = {_key(key, origin, path): _node(item, origin, (*path, key), as_written) for key, item in value.items()}
        return Node(items, origin)
    if isinstance(value, (list, tuple)):
        return Node([_node(item, origin, (*path, index), as_written) for index, item in enumerate(value)], origin)
    if isinstance(value, str) and as_written:
        return _written_text(value, origin, is_item=bool(path) and isinstance(path[-1], int))
    if isinstance(value, PathLike):
        return Node(fspath(value), origin)
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a number of NumPy's
        value = value.item()
    if not isinstance(value, _SCALARS):
        raise ConfigError(
            f"{origin}: {dotted(path)}: a recipe holds numbers, text, lists and dicts, not {type(value).__name__}"
        )
    return Node(value, origin)


def _written_text(text: str, origin: str, is_item: bool) -> Node:
    """Return what an unquoted text means in a recipe.

    Args:
        is_item: whether it stands in a list, in which "None" may be the name of a class.
    """
    if not is_text_in_yaml(text):  # it was quoted
        return Node(text, origin)
    if is_tuple(text):
        return parse_tuple(text, origin)
    value = parse_scalar(text)
    if value is None:
        return Node(text if is_item else None, origin)
    return Node(with_text(value, text) if isinstance(value, (int, float)) else value, origin)


def _key(key: Any, origin: str, path: Path) -> str:
    where = f"{origin}: {dotted(path)}: " if path else f"{origin}: "
    if not isinstance(key, str):
        raise ConfigError(f"{where}the key {key!r} must be text")
    if "." in key and path[:1] != ("Stages",):  # overrides of stages have dotted keys
        section, _, subkey = key.partition(".")
        nested = f"{{{section!r}: {{{subkey!r}: ...}}}}"
        raise ConfigError(f"{where}the key {key!r} has a dot in it: write {nested}, or give it in changes")
    return key
