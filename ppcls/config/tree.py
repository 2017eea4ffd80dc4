"""A recipe as a tree in which every value knows where it was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Tuple

Path = Tuple[Any, ...]  # ("DataLoader", "Train", "dataset", "transform_ops", 2, "RandCropImage")


@dataclass(frozen=True)
class Node:
    """One value of a recipe: a scalar, a dict of nodes or a list of nodes.

    Attributes:
        origin: "file.yaml:12", or the command-line override that set it.
    """

    value: Any
    origin: str


def plain(node: Node) -> Any:
    """Return the tree as plain dicts, lists and scalars."""
    if isinstance(node.value, dict):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def dotted(path: Path) -> str:
    """Return a path as it is written after ``-o``."""
    return ".".join(str(part) for part in path)


def child(node: Node, part: Any) -> Any:
    """Return the child of a dict or list node, None if there is none."""
    if isinstance(node.value, dict):
        return node.value.get(part)
    if isinstance(node.value, list) and isinstance(part, int) and 0 <= part < len(node.value):
        return node.value[part]
    return None


def descend(root: Node, path: Path) -> Tuple[Node, Path]:
    """Follow ``path`` as far as it exists; return the node reached and the path to it."""
    reached: Path = ()
    for part in path:
        below = child(root, part)
        if below is None:
            break
        root, reached = below, (*reached, part)
    return root, reached


def leaves(node: Node, path: Path = ()) -> Iterator[Tuple[Path, Node]]:
    """Yield every scalar, empty dict and empty list with its path, in the order written."""
    if isinstance(node.value, dict) and node.value:
        for key, value in node.value.items():
            yield from leaves(value, (*path, key))
    elif isinstance(node.value, list) and node.value:
        for index, value in enumerate(node.value):
            yield from leaves(value, (*path, index))
    else:
        yield path, node
