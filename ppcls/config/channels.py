"""The channels of images, which follow from ``Arch.in_channels``: what is decoded, normalized and exported."""

from __future__ import annotations

from typing import Any, Iterator, Mapping, Optional, Tuple

from ppcls.config.components import Checked
from ppcls.config.layout import LISTS
from ppcls.config.problems import Problem
from ppcls.config.schema import Config
from ppcls.config.sizes import SHAPE, Sizes, transforms
from ppcls.config.tree import Node, Path, descend, dotted
from ppcls.registry import Registry
from ppcls.utils import imagenet

_ARCH = ("Arch", "in_channels")
_RGB = 3
_KINDS = {1: "grayscale", 3: "RGB", 4: "RGBA"}
_STATISTICS = {1: (imagenet.GRAY_MEAN, imagenet.GRAY_STD), 4: (imagenet.RGBA_MEAN, imagenet.RGBA_STD)}
_DECODE, _NORMALIZE = "DecodeImage", "NormalizeImage"


def check(
    found: Sizes,
    tree: Node,
    config: Config,
    checked: Checked,
    registries: Mapping[str, Registry],
    stored_in: Optional[str] = None,
) -> None:
    """Compare the channels in a recipe without other mistakes, and derive those that it leaves out.

    Args:
        found: the sizes of the recipe; receives the problems and what is derived.
        stored_in: the checkpoint that the recipe was read from; a checkpoint has defaults written out.
    """
    channels, origin = _of_recipe(found, tree, config, checked, registries, stored_in)
    if channels not in _KINDS and not _decoded_by_others(tree, registries):
        kinds = ", ".join(f"{count} ({kind})" for count, kind in _KINDS.items())
        found.problems.append(Problem(_ARCH, f"images have {kinds} channels, not {channels}"))
        return
    for path in LISTS:
        found.problems += _check_list(found, tree, checked, registries["transform"], path, (channels, origin))
    found.problems += _check_teachers(checked, registries, channels)


def _of_recipe(
    found: Sizes,
    tree: Node,
    config: Config,
    checked: Checked,
    registries: Mapping[str, Registry],
    stored_in: Optional[str],
) -> Tuple[int, str]:
    """Return the number of channels that the model takes, and what says so; note a contradiction."""
    shape, reached = descend(tree, SHAPE)
    said = config.Global.image_shape[0]
    takes = registries["architecture"][config.Arch.name].takes(_ARCH[1])
    written = checked.arguments.get(_ARCH[:1], {}).get(_ARCH[1]) if takes else None
    if written is None:
        if takes and said != _RGB:
            found.derived[_ARCH] = (said, f"derived from {dotted(SHAPE)}")
        return said, dotted(SHAPE)
    where = f"{dotted(_ARCH)} ({descend(tree, _ARCH)[0].origin})"
    if said == written:
        return written, where
    is_written = reached == SHAPE and shape.value is not None
    if is_written and shape.origin.startswith("-o "):  # what the command line asks for has to come true
        text = f"has {said} channels, but {where} is {written}; change one of them, or leave {dotted(SHAPE)} out"
        found.problems.append(Problem(SHAPE, text))
        return written, where
    if is_written and shape.origin != stored_in:
        text = f"has {said} channels, but {where} is {written}; models and images have {written} channels"
        found.warnings.append(Problem(SHAPE, text))
    _, *size = found.derived.get(SHAPE, (config.Global.image_shape, ""))[0]
    found.derived[SHAPE] = ([written, *size], f"derived from {dotted(_ARCH)}")
    return written, where


def _decoded_by_others(tree: Node, registries: Mapping[str, Registry]) -> bool:
    """Return whether a transform of the user's own may make images of any number of channels."""
    registry = registries["transform"]
    return any(registry[op_path[-1]].source is not None for path in LISTS for op_path, _ in transforms(tree, path))


def _check_list(
    found: Sizes, tree: Node, checked: Checked, registry: Registry, path: Path, model: Tuple[int, str]
) -> Iterator[Problem]:
    """Yield what does not fit the model's channels in a list of transforms, and note what follows from them."""
    channels, origin = model
    op_paths = [op_path for op_path, _ in transforms(tree, path)]
    components = {op_path: checked.components.get(op_path) for op_path in op_paths}
    if any(registry[op_path[-1]].source is not None for op_path in op_paths):
        return
    pads = any(getattr(component, "appends_zeros", False) for component in components.values())
    if pads and channels != _RGB + 1:
        op_path = next(
            op_path for op_path, component in components.items() if getattr(component, "appends_zeros", False)
        )
        yield Problem(op_path, f"channel_num: makes 4 channels, but {origin} is {channels}; change one of them")
        return
    decoded = _RGB if pads else channels
    for op_path, component in components.items():
        if decoded != _RGB and getattr(component, "needs_rgb", False):
            yield Problem(op_path, f"needs RGB images, and {origin} is {channels}; remove this transform")
        yield from _check_arguments(found, checked.arguments.get(op_path, {}), op_path, decoded, origin)


def _check_arguments(
    found: Sizes, arguments: Mapping[str, Any], op_path: Path, decoded: int, origin: str
) -> Iterator[Problem]:
    if op_path[-1] == _DECODE:
        if arguments.get("channels", decoded) != decoded:
            text = f"is {arguments['channels']}, but {origin} asks for {decoded}; leave it out"
            yield Problem((*op_path, "channels"), text)
        elif "channels" not in arguments and decoded != _RGB:
            found.derived[(*op_path, "channels")] = (decoded, "derived from Arch.in_channels")
    for index, key in enumerate(("mean", "std")):
        values = arguments.get(key)
        if isinstance(values, (list, tuple)):
            if len(values) != decoded:
                text = f"has {len(values)} values, but images have {decoded} channels ({origin}); give one per channel"
                yield Problem((*op_path, key), text)
        elif values is None and op_path[-1] == _NORMALIZE and decoded in _STATISTICS:
            found.derived[(*op_path, key)] = (list(_STATISTICS[decoded][index]), "derived from Arch.in_channels")


def _check_teachers(checked: Checked, registries: Mapping[str, Registry], channels: int) -> Iterator[Problem]:
    """Yield the architectures of a distillation that take other channels."""
    for path, arguments in checked.arguments.items():
        if path[:1] != ("Distillation",) or path[1:2] not in (("teacher",), ("models",)):
            continue
        if arguments.get("in_channels", _RGB) != channels:
            text = f"takes images of {arguments.get('in_channels', _RGB)} channels, and the student of {channels}"
            yield Problem(path, f"{text}; set in_channels: {channels}")
