"""Image sizes that follow from each other: of transforms, ``Global.image_shape`` and ``Arch``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ppcls.config.components import Checked
from ppcls.config.problems import Problem
from ppcls.config.schema import Config
from ppcls.config.tree import Node, Path, descend, dotted, leaves, plain
from ppcls.registry import Entry, Registry

Size = Tuple[int, int]  # height, width, in pixels
SHAPE, _ARCH = ("Global", "image_shape"), ("Arch", "image_size")
_IMG_SIZE = "img_size"  # of augmentations that depend on the size of their input
_TRAIN = ("DataLoader", "Train", "dataset", "transform_ops")
_SAMPLER = ("DataLoader", "Train", "sampler")
_EVALUATION = (("DataLoader", "Eval", "dataset", "transform_ops"), ("Infer", "transforms"))
_UNKNOWN: Any = object()


@dataclass(frozen=True)
class _SizeClaim:
    """A size that follows from one value of a recipe.

    Attributes:
        path: the path of that value.
        origin: its file and line, or the override.
    """

    size: Size
    path: Path
    origin: str

    def __str__(self) -> str:
        return f"{dotted(self.path)} ({self.origin})"


@dataclass
class Sizes:
    """The sizes of a recipe.

    Attributes:
        problems: sizes that contradict each other.
        training_problems: the same, of sizes that matter to training alone.
        warnings: sizes that differ and can be used all the same.
        derived: values that the recipe leaves out, and their origins, by path.
    """

    problems: List[Problem] = field(default_factory=list)
    training_problems: List[Problem] = field(default_factory=list)
    warnings: List[Problem] = field(default_factory=list)
    derived: Dict[Path, Tuple[Any, str]] = field(default_factory=dict)


def check(
    tree: Node, config: Config, checked: Checked, registries: Mapping[str, Registry], stored_in: Optional[str] = None
) -> Sizes:
    """Compare all sizes in a recipe without other mistakes, and derive those that it leaves out.

    Evaluation, inference, ``Global.image_shape`` and ``Arch.image_size`` agree for architectures that are built for
    one size, which ask the same of training. For those that take images of any size, differences are warnings, and
    inference decides the size of exported models. Nothing is said where the size of the images depends on the data. An
    augmentation's ``img_size`` follows from the transforms before it, unless it is written.

    Args:
        stored_in: the checkpoint that the recipe was read from, of which earlier versions did not check the sizes.
    """
    found = Sizes()
    architecture = registries["architecture"][config.Arch.name]
    resizable = not architecture.takes("image_size")
    claims = list(_claims(tree, checked, registries, resizable, stored_in))
    if claims:
        _compare(found, claims, resizable, stored_in)
        _derive(found, config, claims, architecture, stored_in)
    _derive_transforms(found, tree, checked, registries)
    if not resizable:
        _check_training(found, tree, checked, registries, architecture)
    return found


def _claims(
    tree: Node, checked: Checked, registries: Mapping[str, Registry], resizable: bool, stored_in: Optional[str]
) -> Iterator[_SizeClaim]:
    """Yield the sizes that have to agree; the first one decides."""
    for path in _EVALUATION:
        claim = _output_size(tree, path, checked, registries)
        if claim is not None:
            yield claim
    shape, reached = descend(tree, SHAPE)
    if reached == SHAPE and shape.value is not None:
        value = plain(shape)
        default = Config.model_fields["Global"].default.image_shape
        if not (shape.origin == stored_in and value == default):  # a checkpoint has defaults written out
            yield _SizeClaim((int(value[1]), int(value[2])), SHAPE, shape.origin)
    size = checked.arguments.get(_ARCH[:1], {}).get(_ARCH[1])
    if not resizable and size is not None:
        yield _SizeClaim(_pair(size), _ARCH, descend(tree, _ARCH)[0].origin)


def _output_size(tree: Node, path: Path, checked: Checked, registries: Mapping[str, Registry]) -> Optional[_SizeClaim]:
    """Return the size of the images that a list of transforms makes, None where that depends on the images."""
    claims = [claim for _, claim in _output_sizes(tree, path, checked, registries)]
    return claims[-1] if claims else None


def _output_sizes(
    tree: Node, path: Path, checked: Checked, registries: Mapping[str, Registry]
) -> Iterator[Tuple[Path, Optional[_SizeClaim]]]:
    """Yield where the arguments of each transform of a list stand, and the size of its output, where that is known."""
    claim = None
    for place, origin in transforms(tree, path):
        size = getattr(checked.components[place], "output_size", _UNKNOWN)
        # Ours without the attribute leave the size as it is.
        if size is not _UNKNOWN or registries["transform"][place[-1]].source is not None:
            claim = _SizeClaim(size, place, origin) if isinstance(size, tuple) else None
        yield place, claim


def transforms(tree: Node, path: Path) -> Iterator[Tuple[Path, str]]:
    """Yield where the arguments of each transform of a list stand, and their origin."""
    operations, reached = descend(tree, path)
    for index, item in enumerate(operations.value if reached == path and operations.value is not None else ()):
        for name, arguments in item.value.items():
            changed = (leaf.origin for _, leaf in leaves(arguments) if leaf.origin.startswith("-o "))
            yield (*path, index, name), next(changed, arguments.origin)


def _compare(found: Sizes, claims: Sequence[_SizeClaim], resizable: bool, stored_in: Optional[str]) -> None:
    """Note the sizes that differ from that of evaluation."""
    reference = claims[0]
    for other in claims[1:]:
        if other.size == reference.size or other.origin == reference.origin == stored_in:
            continue
        difference = f"{_describe(other)}, but {reference} {_describe(reference)} (height x width); "
        if resizable and not other.origin.startswith("-o "):  # A size given with -o must take effect.
            inference = _of_inference(claims).size
            advice = f"inference and exported models take {inference[0]} x {inference[1]}"
            found.warnings.append(Problem(other.path, difference + advice))
        else:
            advice = "change one of them" + ("" if len(other.path) > 2 else f", or leave {dotted(other.path)} out")
            found.problems.append(Problem(other.path, difference + advice))


def _of_inference(claims: Sequence[_SizeClaim]) -> _SizeClaim:
    """Return the size of the images of inference, which are those of evaluation unless ``Infer.transforms`` differ."""
    return next((claim for claim in claims if claim.path[:1] == ("Infer",)), claims[0])


def _describe(claim: _SizeClaim) -> str:
    verb = "is" if claim.path in (SHAPE, _ARCH) else "makes images of"
    return f"{verb} {claim.size[0]} x {claim.size[1]}"


def _derive_transforms(found: Sizes, tree: Node, checked: Checked, registries: Mapping[str, Registry]) -> None:
    """Note the ``img_size`` that transforms of ours leave out, where the transforms before them decide it."""
    for path in (_TRAIN, *_EVALUATION):
        before: Optional[_SizeClaim] = None
        for place, after in _output_sizes(tree, path, checked, registries):
            entry = registries["transform"][place[-1]]
            left_out = entry.source is None and entry.takes(_IMG_SIZE) and _IMG_SIZE not in checked.arguments[place]
            if left_out and before is not None:
                height, width = before.size
                value = height if height == width else [width, height]  # as recipes have it
                found.derived[(*place, _IMG_SIZE)] = (value, f"derived from {dotted(before.path)}")
            before = after


def _derive(
    found: Sizes, config: Config, claims: Sequence[_SizeClaim], architecture: Entry, stored_in: Optional[str]
) -> None:
    paths, reference = [claim.path for claim in claims], _of_inference(claims)
    origin = f"derived from {dotted(reference.path)}"
    channels, *before = config.Global.image_shape
    written = next((claim.origin for claim in claims if claim.path == SHAPE), None)
    if tuple(before) != reference.size and (written is None or written != stored_in):
        found.derived[SHAPE] = ([channels, *reference.size], origin)
    default = _default_size(architecture)
    if architecture.takes("image_size") and _ARCH not in paths and default != reference.size:
        height, width = reference.size
        found.derived[_ARCH] = (height if height == width else [height, width], origin)


def _check_training(
    found: Sizes, tree: Node, checked: Checked, registries: Mapping[str, Registry], architecture: Entry
) -> None:
    """Note a problem if an architecture that is built for one size is trained on images of another."""
    size = checked.arguments[_ARCH[:1]].get(_ARCH[1])
    origin = descend(tree, _ARCH)[0].origin
    if size is None and _ARCH in found.derived:
        size, origin = found.derived[_ARCH]
    expected = _default_size(architecture) if size is None else _pair(size)
    for claim in _training_sizes(tree, checked, registries):
        if expected is not None and claim.size != expected:
            where = "the default" if size is None else origin
            found.training_problems.append(
                Problem(
                    claim.path,
                    f"{_describe(claim)}, but {architecture.name} is built for {expected[0]} x {expected[1]} "
                    f"({dotted(_ARCH)}: {where}) and cannot be trained on another size; change one of them",
                )
            )
            return


def _training_sizes(tree: Node, checked: Checked, registries: Mapping[str, Registry]) -> Iterator[_SizeClaim]:
    """Yield the sizes of the images of training; several with a sampler that draws them, or in progressive training."""
    scales = getattr(checked.components.get(_SAMPLER), "scales", None)
    if scales is not None:
        origin = descend(tree, _SAMPLER)[0].origin
        yield from (_SizeClaim((height, width), (*_SAMPLER, "scales"), origin) for (width, height), _ in scales)
        return
    claim = _output_size(tree, _TRAIN, checked, registries)
    if claim is None:
        return
    component = checked.components[claim.path]
    for stage in range(getattr(component, "stages", 0)):
        yield _SizeClaim(component.at_stage(stage).output_size, (*claim.path, "progress_size"), claim.origin)
    if not getattr(component, "stages", 0):
        yield claim


def _default_size(architecture: Entry) -> Optional[Size]:
    defaults = [parameter.default for parameter in architecture.parameters() if parameter.name == "image_size"]
    return _pair(defaults[0]) if defaults and defaults[0] is not None else None


def _pair(size: Any) -> Size:
    """Return a size that is one number or [height, width] as a pair."""
    return (int(size), int(size)) if not isinstance(size, (list, tuple)) else (int(size[0]), int(size[1]))
