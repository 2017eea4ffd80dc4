"""The one way from a recipe and its changes to a checked, frozen Config."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Container, Dict, List, Mapping, Optional, Tuple, Union

from pydantic import ValidationError

from ppcls.config import (
    appearance,
    channels,
    components,
    distillation,
    imports,
    inherit,
    layout,
    overrides,
    paddleclas,
    postprocessing,
    pretrained,
    sizes,
    stages,
    transform_checks,
    tree,
)
from ppcls.config.components import Checked
from ppcls.config.find import find
from ppcls.config.overrides import Changes
from ppcls.config.problems import Problem, format_problem, from_validation, raise_all
from ppcls.config.schema import Config
from ppcls.config.sizes import Sizes
from ppcls.config.tree import Node, leaves, plain
from ppcls.config.values import from_values
from ppcls.config.written import written_values
from ppcls.errors import ConfigError
from ppcls.registry import Registry
from ppcls.registry.sources import records

# Adds what a recipe, with its changes, leaves out. Returns the completed recipe and messages about what is missing.
Completion = Callable[[Node], Tuple[Node, List[str]]]
# What follows from other values where it is left out, or null.
_DERIVED = (("Arch", "class_num"), ("Arch", "image_size"), ("Arch", "in_channels"), ("Global", "image_shape"))
_DICT = "the dict"  # the origin of the values of a dict


@dataclass
class _Loader:
    """Checks the trees of one recipe: its own and those of its stages.

    Attributes:
        registries: the components that may be named, by kind.
        stored_in: the checkpoint that the recipe was read from, if it was.
        complete: completes the changed recipe; see ``Completion``.
        published: the architectures with published weights; None does not check ``pretrained: true``.
    """

    registries: Mapping[str, Registry]
    stored_in: Optional[str] = None
    published: Optional[Container[str]] = None
    complete: Optional[Completion] = None

    def load(self, root: Node, name: str, changes: Changes) -> Config:
        """Return the recipe with its changes and stages.

        Raises:
            ConfigError: every mistake at once.
        """
        changed, messages = overrides.apply(root, changes)
        if self.complete is not None:
            changed, lacking = self.complete(changed)
            messages += lacking
        recipe = self.check(changed)
        messages += [format_problem(problem, recipe.mapped) for problem in recipe.problems]
        checked = []
        if not any(problem.path[:1] == (stages.STAGES,) for problem in recipe.problems):
            for stage in stages.expand(changed, messages):
                resolved = self.check(stage.tree)
                mapped = replace(stage, tree=resolved.mapped)
                # Mistakes of the recipe itself are reported once.
                new = [problem for problem in resolved.problems if format_problem(problem, mapped.tree) not in messages]
                messages += [mapped.format_problem(problem) for problem in new]
                checked.append((stage, resolved))
        raise_all(messages, name)
        for warning in dict.fromkeys(
            text for result in (recipe, *(one for _, one in checked)) for text in result.warnings
        ):
            logging.getLogger(__name__).warning("%s", warning)
        config = recipe.config()
        config._training_problems = [format_problem(item, recipe.mapped) for item in recipe.sizes.training_problems]
        for stage, resolved in checked:
            of_stage = config._stages[stage.name] = resolved.config()
            mapped = replace(stage, tree=resolved.mapped)
            of_stage._training_problems = [mapped.format_problem(item) for item in resolved.sizes.training_problems]
        stages.warn_of_unused_overrides(changed, [stage for stage, _ in checked])
        return config

    def check(self, recipe: Node) -> _Recipe:
        """Check one tree."""
        imports.load_imports(recipe, self.stored_in)
        mapped, problems = distillation.map_models(recipe, self.registries["architecture"])
        if problems:
            return _Recipe(recipe, recipe, problems)
        for path in _DERIVED:
            mapped = _without_null(mapped, path)
        adapted = paddleclas.adapt(mapped, self.registries)
        result = _Recipe(mapped, adapted.tree, adapted.problems, adapted.warnings)
        if adapted.refused:
            return result
        result.checked = components.check(result.tree, self.registries)
        result.tree = layout.complete(result.tree, result.checked, self.registries)
        try:
            # An empty section has its defaults.
            sections = {key: value for key, value in plain(result.tree).items() if value is not None}
            result.schema = Config.model_validate(sections)
        except ValidationError as error:
            result.problems += from_validation(error, Config, result.tree)
        known = {problem.path for problem in result.problems}
        result.problems += [problem for problem in result.checked.problems if problem.path not in known]
        if not result.problems and result.schema is not None:
            result.problems += transform_checks.check(result.schema, result.checked)
            result.problems += distillation.check(result.schema, result.checked, self.registries["architecture"])
            result.problems += postprocessing.check(result.schema, result.checked)
        if not result.problems and result.schema is not None:
            result.sizes = sizes.check(result.tree, result.schema, result.checked, self.registries, self.stored_in)
            channels.check(*(result.sizes, result.tree, result.schema, result.checked, self.registries, self.stored_in))
            result.problems += result.sizes.problems
            result.warnings += [format_problem(problem, result.mapped) for problem in result.sizes.warnings]
        if not result.problems and result.schema is not None and self.stored_in is None:
            notes = transform_checks.warnings(result.checked)
            result.warnings += [format_problem(problem, result.mapped) for problem in notes]
        if not result.problems and result.schema is not None:
            result.warnings += appearance.check(result.tree, result.checked, self.registries)
        if self.published is not None:
            result.problems += pretrained.check(result.tree, self.registries["architecture"], self.published)
        return result


@dataclass
class _Recipe:
    """A tree and the results of its check.

    Attributes:
        mapped: as it was written, with ``Distillation.models`` in place of ``DistillationModel``.
        tree: the same without what has no effect, and with what is added to it.
        warnings: what has no effect.
        schema: the recipe's sections, without a check of its components; None if the sections have mistakes.
    """

    mapped: Node
    tree: Node
    problems: List[Problem] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    schema: Optional[Config] = None
    checked: Checked = field(default_factory=Checked)
    sizes: Sizes = field(default_factory=Sizes)

    def config(self) -> Config:
        """Return a recipe without problems, its components' arguments in their final types and its sizes derived."""
        assert self.schema is not None
        values = self.schema.model_dump()
        for path, arguments in self.checked.arguments.items():
            section, arguments = _at(values, path[:-1]), _with_lists(arguments)
            section[path[-1]] = {**section[path[-1]], **arguments} if section[path[-1]] else arguments or None
        for path, (value, _) in self.sizes.derived.items():
            parent = _at(values, path[:-2])
            parent[path[-2]] = {**(parent[path[-2]] or {}), path[-1]: value}
        values["Global"]["imports"] = imports.absolute_imports(self.tree)
        values["Global"]["imported"] = records(self.checked.sources)
        config = Config.model_validate(values)
        config._origins.update({path: node.origin for path, node in leaves(self.tree)})
        for index, record in enumerate(values["Global"]["imported"]):
            config._origins.update({("Global", "imported", index, key): "recorded" for key in record})
        for path, (value, origin) in self.sizes.derived.items():
            paths = [(*path, index) for index in range(len(value))] if isinstance(value, list) else [path]
            config._origins.update(dict.fromkeys(paths, origin))
        return config


def _without_null(root: Node, path: Tuple[str, str]) -> Node:
    """Return a recipe without a key that is null, which takes back what a base says."""
    section, key = path
    node, reached = tree.descend(root, path)
    if reached != path or node.value is not None:
        return root
    parent = root.value[section]
    values = {name: value for name, value in parent.value.items() if name != key}
    return Node({**root.value, section: Node(values, parent.origin)}, root.origin)


def _with_lists(value: Any) -> Any:
    """Return a value with tuples made lists, as files hold them."""
    if isinstance(value, dict):
        return {key: _with_lists(item) for key, item in value.items()}
    return [_with_lists(item) for item in value] if isinstance(value, (list, tuple)) else value


def _at(values: Any, path: tree.Path) -> Any:
    """Return the value at a path of nested dicts and lists."""
    for part in path:
        values = values[part]
    return values


def load(
    recipe: Union[str, Path, Mapping[str, Any], Config],
    changes: Changes = (),
    *,
    registries: Mapping[str, Registry],
    complete: Optional[Completion] = None,
    published: Optional[Container[str]] = None,
) -> Config:
    """Load a recipe.

    Args:
        recipe: a file, the name of a shipped recipe, the recipe itself as nested dicts, or a loaded one.
        changes: ``Key.sub=value`` overrides, or values by dotted key, applied in order.
        registries: the components that may be named, by kind; ``ppcls.load_config`` passes them all.
        complete: completes the changed recipe; see ``Completion``.
        published: the architectures with published weights, for ``pretrained: true``; None does not check it.

    Raises:
        ConfigError: every mistake at once, each with file and line or the override it came from.
    """
    loader = _Loader(registries, complete=complete, published=published)
    if isinstance(recipe, Config):
        return loader.load(written_values(recipe), "the recipe", changes)
    if isinstance(recipe, Mapping):
        return loader.load(inherit.resolve(from_values(recipe, _DICT, as_written=True)), "the recipe", changes)
    if not isinstance(recipe, (str, Path)):
        raise ConfigError(f"a recipe is a path, a name or a dict, not {type(recipe).__name__}")
    file = find(str(recipe))
    return loader.load(inherit.read(file), str(file), changes)


def load_values(
    values: Dict[str, Any], name: str, changes: Changes = (), *, registries: Mapping[str, Registry]
) -> Config:
    """Load the recipe of a checkpoint, which ``Config.plain`` has returned.

    Args:
        name: the path of the checkpoint.
        changes: see ``load``.

    Raises:
        ConfigError: see ``load``; also if the recipe was made with components that are not imported here.
    """
    return _Loader(registries, stored_in=name).load(from_values(values, name), name, changes)
