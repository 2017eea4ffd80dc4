"""How images look to a model: whether training, evaluation and inference prepare them alike."""

from __future__ import annotations

from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from ppcls.config.components import Checked
from ppcls.config.tree import Node, Path, descend, dotted
from ppcls.registry import Registry

_LISTS = {
    "DataLoader.Train": ("DataLoader", "Train", "dataset", "transform_ops"),
    "DataLoader.Eval": ("DataLoader", "Eval", "dataset", "transform_ops"),
    "Infer": ("Infer", "transforms"),
}
_RESIZING = ("ResizeImage", "RandCropImage", "RandomResizedCrop", "CropImageAtRatio")
_NORMALIZING = ("NormalizeImage", "Normalize")
NORMALIZATION = "normalization"
# What a transform does, in words, and where it says so, by what it decides.
Traits = Mapping[str, Tuple[str, str]]


def traits(transforms: Iterable[Tuple[str, Any, str]]) -> Traits:
    """Return what decides how the images of a list of transforms look; of several that decide one thing the last.

    Args:
        transforms: name, component and origin of each; None for a component that is not ours.
    """
    found: Dict[str, Tuple[str, str]] = {}
    is_known = True
    for name, component, origin in transforms:
        is_known = is_known and component is not None
        if component is not None:
            found.update({key: (value, origin) for key, value in _traits_of(name, component)})
    if is_known:
        found.setdefault(NORMALIZATION, ("none", "no NormalizeImage"))
    return found


def _traits_of(name: str, component: Any) -> Iterator[Tuple[str, str]]:
    if name == "DecodeImage":
        yield "channel order", "RGB" if component.to_rgb else "BGR"
        yield "backend of DecodeImage", component.backend
    elif name in _RESIZING:
        if component.interpolation != "random":  # which contains those that evaluation would use
            yield "interpolation", component.interpolation or "bilinear"
        yield "backend of resizing", component.backend
    elif name in _NORMALIZING:
        scale, mean, std = component.constants()
        parts = (f"{key} {_numbers(values)}" for key, values in (("mean", mean), ("std", std)))
        yield NORMALIZATION, ", ".join([f"scale {scale:.5g}", *parts])


def _numbers(values: Iterable[float]) -> str:
    return f"[{', '.join(f'{value:.5g}' for value in values)}]"


def differences(first: Traits, second: Traits) -> List[str]:
    """Return what two lists of transforms do in different ways, each with both ways and where they are written."""
    return [
        f"{key}: {first[key][0]} ({first[key][1]}) and {second[key][0]} ({second[key][1]})"
        for key in first
        if key in second and first[key][0] != second[key][0]
    ]


def check(tree: Node, checked: Checked, registries: Mapping[str, Registry]) -> List[str]:
    """Return warnings for sides of a recipe that prepare images in different ways.

    Args:
        tree: the recipe, without mistakes.
    """
    sides: Dict[str, Traits] = {}
    for name, path in _LISTS.items():
        transforms = _transforms(tree, path, checked, registries["transform"])
        if transforms is not None:
            sides[name] = traits(transforms)
    names = list(sides)
    found = []
    for first, second in zip(names, names[1:]):
        different = differences(sides[first], sides[second])
        if different:
            found.append(f"{first} and {second} prepare images in different ways: {'; '.join(different)}")
    return found


def _transforms(tree: Node, path: Path, checked: Checked, registry: Registry) -> Optional[List[Tuple[str, Any, str]]]:
    """Return name, component and origin of each transform of a list; None where there is none."""
    operations, reached = descend(tree, path)
    if reached != path or operations.value is None:
        return None
    return [
        (
            name,
            checked.components.get((*path, index, name)) if registry[name].source is None else None,
            f"{arguments.origin}: {dotted((name,))}",
        )
        for index, item in enumerate(operations.value)
        for name, arguments in item.value.items()
    ]
