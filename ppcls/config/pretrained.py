"""``pretrained: true``: the weights that were published for an architecture."""

from __future__ import annotations

from typing import Container, Iterator, Tuple

from ppcls.config.problems import Problem
from ppcls.config.tree import Node, Path, child, descend, plain
from ppcls.registry import Registry

_PRETRAINED = "pretrained"
# Weights that replace those of Arch.pretrained.
_OTHERS = (("Global", "pretrained_model"), ("Global", "checkpoints"))


def check(tree: Node, architectures: Registry, published: Container[str]) -> Iterator[Problem]:
    """Yield a problem for each model that asks for published weights where there are none.

    Args:
        architectures: the registry.
        published: the names of those with published weights.
    """
    for path, cure in _sections(tree):
        section, reached = descend(tree, path)
        values = plain(section) if reached == path else None
        if not isinstance(values, dict) or values.get(_PRETRAINED) is not True:
            continue
        name = values.get("name")
        if name in architectures and name not in published:
            yield Problem((*path, _PRETRAINED), f"no published weights of {name} are known; {cure}")


def _sections(tree: Node) -> Iterator[Tuple[Path, str]]:
    """Yield where models stand, and what to do about those without weights."""
    others = (descend(tree, path) for path in _OTHERS)
    if not any(len(reached) == 2 and node.value for node, reached in others):
        yield ("Arch",), "begin with random ones (-o Arch.pretrained=false), or give the path of a file"
    yield ("Distillation", "teacher"), "give the path of a file"
    models = descend(tree, ("Distillation", "models"))[0]
    for name in models.value if isinstance(models.value, dict) and child(tree, "Distillation") is not None else ():
        yield ("Distillation", "models", name), "give the path of a file, or false for random ones in a trained model"
