"""The layout of images: a recipe's transforms end with ``ToCHWImage``, written or not.

The data sets of PaddleClas transpose images by themselves, so its recipes leave the transform out.
"""

from __future__ import annotations

from typing import Mapping, Optional

from ppcls.config import overrides
from ppcls.config.components import Checked, Site
from ppcls.config.tree import Node, Path, descend
from ppcls.registry import Registry

_TO_CHW = "ToCHWImage"
ADDED = "added: models take images channels first"
LISTS = (
    ("DataLoader", "Train", "dataset", "transform_ops"),
    ("DataLoader", "Eval", "dataset", "transform_ops"),
    ("Infer", "transforms"),
)


def complete(tree: Node, checked: Checked, registries: Mapping[str, Registry]) -> Node:
    """Return the recipe with ``ToCHWImage`` at the end of each list of transforms whose images are channels last.

    Each transform's ``output_layout`` ("hwc" or "chw") says what it returns. Ours without it keep the layout. After one
    of other people's without it the layout is not known, and nothing is added.

    Args:
        checked: the components of the recipe; receives what is added.
    """
    registry = registries["transform"]
    if _TO_CHW not in registry:
        return tree
    for path in LISTS:
        if _layout(tree, path, checked, registry) == "hwc":
            operations, _ = descend(tree, path)
            added = Node({_TO_CHW: Node(None, ADDED)}, ADDED)
            tree = overrides.set_at(tree, path, Node([*operations.value, added], operations.origin))
            place = (*path, len(operations.value), _TO_CHW)
            checked.add(tree, place, {}, registry, Site(path, "transform"), _TO_CHW)
    return tree


def _layout(tree: Node, path: Path, checked: Checked, registry: Registry) -> Optional[str]:
    """Return the layout of the images that a list of transforms returns; None where it is not known."""
    operations, reached = descend(tree, path)
    if reached != path or not isinstance(operations.value, list):
        return None
    layout: Optional[str] = None
    for index, item in enumerate(operations.value):
        name = next(iter(item.value)) if isinstance(item.value, dict) and len(item.value) == 1 else None
        component = checked.components.get((*path, index, name))
        if component is None or name is None:
            return None  # a mistake, which is reported
        kept = layout if registry[name].source is None else None
        layout = getattr(component, "output_layout", kept)
    return layout
