"""How images look to a model: whether training, evaluation and inference prepare them alike."""

from __future__ import annotations

from dataclasses import fields
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
NORMALIZATION, GEOMETRY = "normalization", "resizing and cropping"
_NOT_GEOMETRY = ("interpolation", "backend", "return_numpy", "fill", "padding_mode")
# What a transform does, in words, and where it says so, by what it decides.
Traits = Mapping[str, Tuple[str, str]]


def traits(transforms: Iterable[Tuple[str, Any, str]]) -> Traits:
    """Return what decides how the images of a list of transforms look; of several that decide one thing the last.

    Args:
        transforms: name, component and origin of each; None for a component that is not ours.
    """
    found: Dict[str, Tuple[str, str]] = {}
    geometry: List[Tuple[str, str, Any]] = []  # each transform that changes the size, its origin, and the size
    is_known = True
    for name, component, origin in transforms:
        is_known = is_known and component is not None
        if component is not None:
            found.update({key: (value, origin) for key, value in _traits_of(name, component)})
            if hasattr(component, "output_size"):
                geometry.append((_geometry_of(name, component), origin, component.output_size))
    if is_known and geometry:
        texts, origins, sizes = zip(*geometry)
        # Images of several sizes are another matter, see ppcls.config.sizes.
        found[f"{GEOMETRY} to {sizes[-1]}"] = (", ".join(texts), origins[-1])
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


def _geometry_of(name: str, component: Any) -> str:
    """Return a transform that changes the size, with those of its arguments that are not their defaults."""
    given = ((item.name, getattr(component, item.name), item.default) for item in fields(component) if item.init)
    shown = [
        f"{key}: {[value, value] if key == 'size' and isinstance(value, int) else value}"
        for key, value, default in given
        if value != default and key not in _NOT_GEOMETRY
    ]
    return f"{name} {{{', '.join(shown)}}}"


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
            found_traits = traits(transforms)
            # Training crops at random, which evaluation does not.
            is_train = name == "DataLoader.Train"
            sides[name] = {
                key: value for key, value in found_traits.items() if not (is_train and key.startswith(GEOMETRY))
            }
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
