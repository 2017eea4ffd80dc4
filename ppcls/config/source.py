"""YAML text as a tree of values with their file and line."""

from __future__ import annotations

import re
from typing import Any, Dict, List

import yaml

from ppcls.config.numbers import parse_scalar
from ppcls.config.tree import Node
from ppcls.errors import ConfigError

_SCALARS = ("bool", "null", "int", "float", "str", "timestamp", "value", "merge")
# A tuple of numbers, such as (3, 224, 224): a list, for users of PaddleClas, where -o takes Python's values.
_TUPLE = re.compile(r"\([-+*/.\d\seE()]*,[-+*/.\d\seE,()]*\)")
_AS_LIST = str.maketrans("()", "[]")
_PLAIN = yaml.resolver.Resolver()


def parse(text: str, name: str) -> Node:
    """Read one YAML document.

    Args:
        text: the document; an empty one is an empty mapping.
        name: what to call it in origins and errors, usually its path.

    Raises:
        ConfigError: the text is not YAML, repeats a key, or uses a tag; the message gives the line.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        reason = " ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{where}: not valid YAML: {reason}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not valid YAML: {error}") from None
    if root is None:
        return Node({}, f"{name}:1")
    return _Builder(name).build(root)


def is_tuple(text: str) -> bool:
    """Return whether a text is a tuple of numbers, such as (3, 224, 224)."""
    return _TUPLE.fullmatch(text) is not None


def parse_tuple(text: str, name: str) -> Node:
    """Return a tuple of numbers as a list.

    Raises:
        ConfigError: its parentheses do not match.
    """
    return parse(text.translate(_AS_LIST), name)


def is_text_in_yaml(text: str) -> bool:
    """Return whether YAML readers take an unquoted ``text`` for text, as they do with 1e-3 and 1.0/255.0."""
    return _PLAIN.resolve(yaml.ScalarNode, text, (True, False)) == "tag:yaml.org,2002:str"


class _Builder:
    """Turns PyYAML's nodes into ours. (PyYAML's own constructor drops line numbers and repeated keys.)"""

    def __init__(self, name: str) -> None:
        self.name = name
        self.parents: List[yaml.Node] = []

    def build(self, node: yaml.Node) -> Node:
        if any(node is parent for parent in self.parents):
            raise ConfigError(f"{self._where(node)}: the alias contains itself")
        self.parents.append(node)
        try:
            return Node(self._value(node), self._where(node))
        finally:
            self.parents.pop()

    def _value(self, node: yaml.Node) -> Any:
        kind = node.tag.rsplit(":", 1)[-1]
        if isinstance(node, yaml.MappingNode) and kind == "map":
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode) and kind == "seq":
            return [self.build(item) for item in node.value]
        if isinstance(node, yaml.ScalarNode) and node.tag.startswith("tag:yaml.org,2002:") and kind in _SCALARS:
            return node.value if node.style else parse_scalar(node.value)
        raise ConfigError(f"{self._where(node)}: the tag {node.tag} is not allowed in a recipe")

    def _mapping(self, node: yaml.MappingNode) -> Dict[str, Node]:
        merged: Dict[str, Node] = {}
        direct: Dict[str, Node] = {}
        for key_node, value_node in node.value:
            if key_node.tag.endswith(":merge"):
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in sources:
                    if not isinstance(source, yaml.MappingNode):
                        raise ConfigError(f"{self._where(source)}: '<<' takes a mapping or a list of mappings")
                    merged = {**self._mapping(source), **merged}
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{self._where(key_node)}: a key must be a word")
            key = key_node.value
            if key in direct:
                raise ConfigError(f"{self._where(key_node)}: {key!r} is given twice (first at {direct[key].origin})")
            # The line of the key, not of its value, which may start further down.
            direct[key] = Node(self.build(value_node).value, self._where(key_node))
        return {**merged, **direct}

    def _where(self, node: yaml.Node) -> str:
        return f"{self.name}:{node.start_mark.line + 1}"
