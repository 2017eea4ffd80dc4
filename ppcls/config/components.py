"""The components that a recipe names, checked against their constructors before any work starts."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Tuple, Type, Union

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from ppcls.config.fields import Int, Text
from ppcls.config.problems import Problem, from_validation
from ppcls.config.tree import Node, Path, child, descend, plain
from ppcls.errors import ConfigError
from ppcls.registry import Entry, Registry


@dataclass(frozen=True)
class Site:
    """A place in a recipe that names components.

    Attributes:
        path: where in the recipe.
        kind: the key of the registry.
        own_keys: keys that are the section's and not the component's; a site without any is a list of
            ``name: arguments`` maps.
    """

    path: Tuple[str, ...]
    kind: str
    own_keys: Tuple[str, ...] = ()


def _splits(*path: str) -> List[Tuple[str, ...]]:
    return [("DataLoader", split, *path) for split in ("Train", "Eval")]


SITES: Sequence[Site] = (
    Site(("Arch",), "architecture", ("name", "pretrained", "use_sync_bn")),
    Site(("Distillation", "teacher"), "architecture", ("name", "pretrained")),
    Site(("Optimizer",), "optimizer", ("name", "lr", "lr_scaling")),
    Site(("Optimizer", "lr"), "schedule", ("name",)),
    *(Site(path, "dataset", ("name", "transform_ops", "batch_transform_ops")) for path in _splits("dataset")),
    *(Site(path, "sampler", ("name",)) for path in _splits("sampler")),
    *(Site(path, "transform") for path in _splits("dataset", "transform_ops")),
    *(Site(path, "batch_transform") for path in _splits("dataset", "batch_transform_ops")),
    Site(("Infer", "transforms"), "transform"),
    *(Site(("Loss", mode), "loss") for mode in ("Train", "Eval")),
    *(Site(("Metric", mode), "metric") for mode in ("Train", "Eval")),
)


def check(tree: Node, registries: Mapping[str, Registry]) -> List[Problem]:
    """Return what is wrong with the components named in a recipe."""
    problems: List[Problem] = []
    for site in SITES:
        node: Any = tree
        for part in site.path:
            node = child(node, part) if node is not None else None
        if node is None or node.value is None:
            continue
        registry = registries[site.kind]
        if site.own_keys:
            problems += _check_section(tree, node, site, registry)
        elif isinstance(node.value, list):
            for index, item in enumerate(node.value):
                problems += _check_item(tree, item, (*site.path, index), registry)
    return problems


def _check_section(tree: Node, node: Node, site: Site, registry: Registry) -> Iterator[Problem]:
    if not isinstance(node.value, dict):
        return
    own = {key: value for key, value in node.value.items() if key not in site.own_keys}
    default = "DistributedBatchSampler" if site.kind == "sampler" else None
    name = plain(node.value["name"]) if "name" in node.value else default
    if not isinstance(name, str):
        return  # the schema reports what is missing or no text
    if name not in registry:
        yield Problem((*site.path, "name"), registry.unknown(name))
        return
    yield from _check_arguments(tree, own, site.path, registry, name, site.own_keys)


def _check_item(tree: Node, item: Node, path: Path, registry: Registry) -> Iterator[Problem]:
    if isinstance(item.value, dict) and len(item.value) > 1:
        yield _several_names(item, path, registry)
        return
    if not isinstance(item.value, dict) or len(item.value) != 1:
        yield Problem(path, f"an entry is one `name: arguments` map; {registry.kind}s: {', '.join(registry.names())}")
        return
    name, arguments = next(iter(item.value.items()))
    if name not in registry:
        yield Problem((*path, name), registry.unknown(name))
        return
    if arguments.value is not None and not isinstance(arguments.value, dict):
        yield Problem((*path, name), f"takes a mapping of arguments ({', '.join(_names(registry[name]))})")
        return
    yield from _check_arguments(tree, arguments.value or {}, (*path, name), registry, name, ())


def _several_names(item: Node, path: Path, registry: Registry) -> Problem:
    """Return what is wrong with a map of several components: mostly one of them is a misspelt name from ``-o``."""
    names = list(item.value)
    unknown = next((name for name in names if name not in registry), None)
    if unknown is not None:
        return Problem((*path, unknown), registry.unknown(unknown))
    return Problem((*path, names[-1]), f"an entry is one `name: arguments` map, and this one has {', '.join(names)}")


def _check_arguments(
    tree: Node,
    arguments: Mapping[str, Node],
    path: Path,
    registry: Registry,
    name: str,
    own_keys: Sequence[str],
) -> Iterator[Problem]:
    """Yield what is wrong with names and types of arguments, else what the constructor says of their values."""
    model = arguments_model(registry[name])
    try:
        model.model_validate({key: plain(value) for key, value in arguments.items()})
    except ValidationError as error:
        yield from from_validation(error, model, tree, path, own_keys)
        return
    if registry.trial is None:
        return
    try:
        given = converted(registry[name], {key: plain(value) for key, value in arguments.items()})
        registry.build(name, given, **registry.trial())
    except ConfigError as error:
        yield _placed(tree, path, str(error).replace(f"{name}: ", "", 1))


def _placed(tree: Node, path: Path, message: str) -> Problem:
    """Return the problem at the innermost value below ``path`` that the message begins with ("outer: inner: ...")."""
    rest = message
    while True:
        culprit, _, after = rest.partition(" ")
        if child(descend(tree, path)[0], culprit.strip(":")) is None:
            return Problem(path, message)
        # The path says the key already, unless the message is a sentence about it.
        path, message, rest = (*path, culprit.strip(":")), after if culprit.endswith(":") else rest, after


def converted(entry: Entry, arguments: Any) -> Dict[str, Any]:
    """Return a component's arguments as its constructor's annotations want them (1e2 as 100 for an int)."""
    given = dict(arguments or {})
    checked = arguments_model(entry).model_validate(given)
    return {key: getattr(checked, key) for key in given}


def wrong_types(entry: Entry, arguments: Mapping[str, Any]) -> List[str]:
    """Return what is wrong with the types of arguments that Python code gave, where tuples are lists."""
    given = {key: list(value) if isinstance(value, tuple) else value for key, value in arguments.items()}
    try:
        arguments_model(entry).model_validate(given)
    except ValidationError as error:
        found: Dict[str, str] = {}
        for detail in error.errors(include_url=False):
            key, message = str(detail["loc"][0]), detail["msg"].replace("Input should be", "must be")
            found[key] = f"{found[key]} or {message}" if key in found else f"{key}: {message}"
        return [f"{message}, got {arguments[key]!r:.60}" for key, message in found.items()]
    return []


def arguments_model(entry: Entry) -> Type[BaseModel]:
    """Return a pydantic model of what a recipe may give to ``entry``."""
    fields: Dict[str, Any] = {
        parameter.name: (_lenient(parameter.annotation), ... if parameter.required else parameter.default)
        for parameter in entry.parameters()
    }
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())
    return create_model(entry.name, __config__=config, **fields)


def _names(entry: Entry) -> List[str]:
    return [parameter.name for parameter in entry.parameters()]


def _lenient(annotation: Any) -> Any:
    """Return ``annotation`` with int and str as a recipe writes them; see ppcls.config.fields."""
    if annotation is int:
        return Int
    if annotation is str:
        return Text
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Union:
        return Union[tuple(_lenient(arg) for arg in args)]
    return annotation
