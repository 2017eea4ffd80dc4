"""Recipes of PaddleClas: keys for what this toolkit does not have are dropped where it is disabled.

The tables are in ``ppcls.config.paddleclas_tables``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Mapping, Optional

from ppcls.config.paddleclas_tables import FILE_VALUES, FILES, NAMES, SWITCHES, UNUSED, Switch
from ppcls.config.problems import Problem, format_problem
from ppcls.config.tree import Node, Path, descend, plain
from ppcls.registry import Registry
from ppcls.registry.arguments import shown

# Sections whose further keys are the arguments of the component that they name, and its kind.
_COMPONENTS: Mapping[str, str] = {"Arch": "architecture", "Optimizer": "optimizer", "Optimizer.lr": "schedule"}
_YAML: Mapping[Any, str] = {None: "null", False: "false", True: "true"}


@dataclass
class Adapted:
    """A recipe without the keys of what is disabled.

    Attributes:
        problems: keys that are refused, with the reason.
        warnings: what has no effect, "file:line: Dotted.path: message".
        refused: whether the whole file is refused; its other keys are then not checked.
    """

    tree: Node
    problems: List[Problem] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    refused: bool = False


def adapt(tree: Node, registries: Mapping[str, Registry]) -> Adapted:
    """Drop the keys of PaddleClas whose feature is disabled, and refuse those of features that are not here."""
    for key, reason in FILES.items():
        value = _value(tree, key)
        wanted = FILE_VALUES.get(key)
        if value is not None and (wanted is None or value in wanted):
            message = reason.replace("{value}", shown(value))
            return Adapted(tree, [Problem(_path(key), message)], refused=True)
    adapted = Adapted(tree)
    for key, switch in SWITCHES.items():
        node = _node(tree, key)
        if node is None or _is_argument(tree, key, registries):
            continue
        refused = unsupported_reason(switch, plain(node))
        if refused is not None:
            adapted.problems.append(Problem(_path(key), refused))
        adapted.tree = _without(adapted.tree, _path(key))
    for key, message in UNUSED.items():
        node = _node(tree, key)
        if node is None or _is_argument(tree, key, registries):
            continue
        if plain(node) is not None:
            adapted.warnings.append(format_problem(Problem(_path(key), message), tree))
        adapted.tree = _without(adapted.tree, _path(key))
    return adapted


def unsupported_reason(switch: Switch, value: Any) -> Optional[str]:
    """Return what is wrong with the value of a switch, None if the feature is disabled."""
    if any(type(value) is type(off) and value == off for off in switch.off):
        return None
    return f"must be {_YAML.get(switch.off[0], switch.off[0])}, not {shown(value)}: {switch.reason}"


def unknown(kind: str, name: str, registry: Registry) -> str:
    """Return the message for a component that is not registered.

    Args:
        kind: the key of the registry.
    """
    reason = NAMES.get(kind, {}).get(name)
    if reason is None:
        return registry.unknown(name)
    return f"PaddleClas's {registry.kind} {name!r} is not available: {reason}"


def _path(key: str) -> Path:
    return tuple(key.split("."))


def _node(tree: Node, key: str) -> Optional[Node]:
    node, reached = descend(tree, _path(key))
    return node if reached == _path(key) else None


def _value(tree: Node, key: str) -> Any:
    node = _node(tree, key)
    return None if node is None else plain(node)


def _is_argument(tree: Node, key: str, registries: Mapping[str, Registry]) -> bool:
    """Return whether the component that a section names takes the argument ``key``."""
    section, _, argument = key.rpartition(".")
    if section not in _COMPONENTS:
        return False
    registry, name = registries[_COMPONENTS[section]], _value(tree, f"{section}.name")
    return name in registry and registry[name].takes(argument)


def _without(node: Node, path: Path) -> Node:
    """Return the tree without the value at ``path``."""
    part, below = path[0], path[1:]
    children = dict(node.value)
    if below:
        children[part] = _without(children[part], below)
    else:
        del children[part]
    return Node(children, node.origin)
