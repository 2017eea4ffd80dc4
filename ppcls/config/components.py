"""The components that a recipe names, checked against their constructors before any work starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Container, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

from ppcls.config import paddleclas
from ppcls.config.problems import Problem
from ppcls.config.schema import DEFAULT_POSTPROCESS
from ppcls.config.tree import Node, Path, child, descend, dotted, plain
from ppcls.errors import ConfigError
from ppcls.registry import Entry, Mistake, Registry, Source


@dataclass(frozen=True)
class Site:
    """A place in a recipe that names components.

    Attributes:
        path: where in the recipe.
        kind: the key of the registry.
        section_keys: keys that are the section's and not the component's; a site without any is a list of
            ``name: arguments`` maps.
        by_name: whether the place is a mapping of such sections by names of the user's.
    """

    path: Tuple[str, ...]
    kind: str
    section_keys: Tuple[str, ...] = ()
    by_name: bool = False


def _splits(*path: str) -> List[Tuple[str, ...]]:
    return [("DataLoader", split, *path) for split in ("Train", "Eval")]


_WEIGHTS = ("pretrained", "weights_key", "weights_image_size")
SITES: Sequence[Site] = (
    Site(("Arch",), "architecture", ("name", "pretrained", "use_sync_bn")),
    Site(("Distillation", "teacher"), "architecture", ("name", *_WEIGHTS)),
    Site(("Distillation", "models"), "architecture", ("name", *_WEIGHTS, "frozen"), by_name=True),
    Site(("Optimizer",), "optimizer", ("name", "lr", "lr_scaling")),
    Site(("Optimizer", "lr"), "schedule", ("name",)),
    *(Site(path, "dataset", ("name", "transform_ops", "batch_transform_ops")) for path in _splits("dataset")),
    *(Site(path, "sampler", ("name",)) for path in _splits("sampler")),
    *(Site(path, "transform") for path in _splits("dataset", "transform_ops")),
    *(Site(path, "batch_transform") for path in _splits("dataset", "batch_transform_ops")),
    Site(("Infer", "transforms"), "transform"),
    Site(("Infer", "PostProcess"), "postprocess", ("name", "class_id_map_file", "delimiter")),
    *(Site(("Loss", mode), "loss") for mode in ("Train", "Eval")),
    *(Site(("Metric", mode), "metric") for mode in ("Train", "Eval")),
    Site(("Callbacks",), "callback"),
)


@dataclass
class Checked:
    """The components of a recipe, checked.

    Attributes:
        problems: what is wrong with its components.
        arguments: of each component in their final types, by where its arguments stand.
        components: those that were constructed to validate their arguments, by where their arguments stand.
        sources: where the components come from that are not ours.
    """

    problems: List[Problem] = field(default_factory=list)
    arguments: Dict[Path, Dict[str, Any]] = field(default_factory=dict)
    components: Dict[Path, Any] = field(default_factory=dict)
    sources: List[Source] = field(default_factory=list)

    def add(
        self, tree: Node, place: Path, given: Mapping[str, Node], registry: Registry, site: Site, name: str
    ) -> None:
        """Check one component.

        Args:
            place: where its arguments stand in the recipe.
            given: the arguments as they are written.
        """
        entry = registry[name]
        if entry.source is not None and entry.source not in self.sources:
            self.sources.append(entry.source)
        values, mistakes = entry.check({key: plain(value) for key, value in given.items()}, site.section_keys)
        if mistakes:
            unknown = {mistake.path[0] for mistake in mistakes if mistake.kind == "unknown"}
            self.problems += [_problem_at(tree, place, mistake, unknown) for mistake in mistakes]
            if registry.trial_arguments is not None and not any(mistake.kind == "missing" for mistake in mistakes):
                self._add_bad_values(tree, place, values, registry, name)
            return
        self.arguments[place] = values
        if not _validates_by_construction(registry, entry):
            return
        try:
            self.components[place] = registry.construct(entry, values, registry.trial_arguments())  # type: ignore[misc]
        except ConfigError as error:
            self.problems.append(_locate_from_message(tree, place, str(error)))

    def _add_bad_values(
        self, tree: Node, place: Path, values: Mapping[str, Any], registry: Registry, name: str
    ) -> None:
        """Add what a component with other mistakes says of the values that it takes."""
        entry = registry[name]
        required = {parameter.name for parameter in entry.parameters() if parameter.required}
        if entry.source is not None or not required.issubset(values):
            return
        try:
            registry.construct(entry, values, registry.trial_arguments())  # type: ignore[misc]
        except ConfigError as error:
            problem = _locate_from_message(tree, place, str(error))
            if problem.path[len(place) :][:1] and problem.path[len(place)] in values:  # else it may lack the others
                self.problems.append(problem)


def check(tree: Node, registries: Mapping[str, Registry]) -> Checked:
    """Check all components named in a recipe: their names, and types and values of their arguments."""
    checked = Checked()
    for site in SITES:
        node: Any = tree
        for part in site.path:
            node = child(node, part) if node is not None else None
        if node is None or node.value is None:
            continue
        registry = registries[site.kind]
        if site.by_name:
            for name, section in node.value.items() if isinstance(node.value, dict) else ():
                inner = Site((*site.path, name), site.kind, site.section_keys)
                checked.problems += _check_section(tree, section, inner, registry, checked)
        elif site.section_keys:
            checked.problems += _check_section(tree, node, site, registry, checked)
        elif isinstance(node.value, list):
            for index, item in enumerate(node.value):
                checked.problems += _check_item(tree, item, (*site.path, index), registry, site, checked)
    return checked


def _check_section(tree: Node, node: Node, site: Site, registry: Registry, checked: Checked) -> Iterator[Problem]:
    if not isinstance(node.value, dict):
        return
    arguments = {key: value for key, value in node.value.items() if key not in site.section_keys}
    name = plain(node.value["name"]) if "name" in node.value else None
    name = _default_name(tree, site) if name is None else name
    if not isinstance(name, str):
        return  # the schema reports what is missing or no text
    if name not in registry:
        yield Problem((*site.path, "name"), paddleclas.unknown(site.kind, name, registry))
        return
    checked.add(tree, site.path, arguments, registry, site, name)


def _default_name(tree: Node, site: Site) -> Optional[str]:
    """Return the component of a section that names none; None where it has to."""
    if site.kind == "sampler":
        return "DistributedBatchSampler"
    if site.kind == "postprocess":
        switch = descend(tree, ("Global", "use_multilabel"))
        return DEFAULT_POSTPROCESS[len(switch[1]) == 2 and plain(switch[0]) is True]
    return None


def _check_item(
    tree: Node, item: Node, path: Path, registry: Registry, site: Site, checked: Checked
) -> Iterator[Problem]:
    if isinstance(item.value, dict) and len(item.value) > 1:
        yield _several_names(item, path, registry)
        return
    if not isinstance(item.value, dict) or len(item.value) != 1:
        yield Problem(path, f"an entry is one `name: arguments` map; {registry.kind}s: {', '.join(registry.names())}")
        return
    name, arguments = next(iter(item.value.items()))
    if name not in registry:
        yield Problem((*path, name), paddleclas.unknown(site.kind, name, registry))
        return
    if arguments.value is not None and not isinstance(arguments.value, dict):
        names = ", ".join(parameter.name for parameter in registry[name].parameters())
        yield Problem((*path, name), f"takes a mapping of arguments ({names})")
        return
    checked.add(tree, (*path, name), arguments.value or {}, registry, site, name)


def _several_names(item: Node, path: Path, registry: Registry) -> Problem:
    """Return what is wrong with a map of several components: mostly one of them is a misspelt name from ``-o``."""
    names = list(item.value)
    unknown = next((name for name in names if name not in registry), None)
    if unknown is not None:
        return Problem((*path, unknown), registry.unknown(unknown))
    return Problem((*path, names[-1]), f"an entry is one `name: arguments` map, and this one has {', '.join(names)}")


def _problem_at(tree: Node, place: Path, mistake: Mistake, unknown: Container[str]) -> Problem:
    """Return a mistake as a problem of the innermost value that was written.

    Args:
        unknown: all arguments that the component does not take.
    """
    if mistake.kind == "unknown" and _is_of_base(tree, place, mistake.path[0]):
        advice = f"a base of the recipe gives it: `_delete_: true` in {dotted(place)} drops what bases say there"
        return Problem((*place, *mistake.path), f"{mistake.message}; {advice}")
    if mistake.kind == "unknown" and _is_renamed_by_option(tree, place, mistake.path[0]):
        return Problem((*place, *mistake.path), f"{mistake.message}; {_replace_advice(tree, place, unknown)}")
    if mistake.kind != "type":
        return Problem((*place, *mistake.path), mistake.message)
    return Problem(descend(tree, (*place, *mistake.path))[1], mistake.message)


def _is_renamed_by_option(tree: Node, place: Path, argument: str) -> bool:
    """Return whether ``-o`` names another component than the one that a file gives an argument to."""
    section = descend(tree, place)[0]
    name, given = child(section, "name"), child(section, argument)
    return name is not None and name.origin.startswith("-o") and not given.origin.startswith("-o")


def _replace_advice(tree: Node, place: Path, unknown: Container[str]) -> str:
    """Return how to drop what a file gives to another component than the one that ``-o`` names."""
    values = {key: value for key, value in plain(descend(tree, place)[0]).items() if key not in unknown}
    kept = [f"{key}: {value}" for key, value in values.items() if isinstance(value, (str, int, float))]
    section = ", ".join([*kept, "..."] if len(kept) < len(values) else kept)
    replaced = f"-o '{dotted(place)}={{{section}}}'"
    return f"{values['name']} does not take it: to drop it, replace the whole section, {replaced}"


def _is_of_base(tree: Node, place: Path, argument: str) -> bool:
    """Return whether an argument stands in another file than the name of the component."""
    section = descend(tree, place)[0]
    name = child(section, "name") or descend(tree, ("Global", "use_multilabel"))[0]  # which names the default
    files = [node.origin.rpartition(":")[0] for node in (name, child(section, argument))]
    return files[0] != files[1] and not any(node.origin.startswith("-o") for node in (name, child(section, argument)))


def _validates_by_construction(registry: Registry, entry: Entry) -> bool:
    """Return whether to validate a component by constructing it at load time.

    Components of other people that ask for injected arguments are not constructed: they may do more with the
    placeholders than look at them.
    """
    return registry.trial_arguments is not None and (entry.source is None or not entry.injected)


def _locate_from_message(tree: Node, path: Path, message: str) -> Problem:
    """Return the problem of the value below ``path`` whose keys the message begins with, as in "outer: inner: ..."."""
    remaining = message
    while True:
        word, _, following = remaining.partition(" ")
        key = word.strip(":")
        if child(descend(tree, path)[0], key) is None:
            return Problem(path, message)
        # The path names the key, so the message does not, unless it is a sentence about it.
        path, message, remaining = (*path, key), following if word.endswith(":") else remaining, following
