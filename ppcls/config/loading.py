"""The one way from a recipe file and ``-o`` overrides to a checked, frozen Config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from pydantic import ValidationError

from ppcls.config import components, inherit, overrides, stages
from ppcls.config.find import find
from ppcls.config.problems import Problem, from_validation, located, raise_all
from ppcls.config.schema import Config
from ppcls.config.source import parse
from ppcls.config.tree import Node, leaves, plain
from ppcls.registry import Registry


def load(path: Union[str, Path], changes: Sequence[str] = (), *, registries: Mapping[str, Registry]) -> Config:
    """Load a recipe.

    Args:
        path: a file, or the name of a shipped recipe.
        changes: ``Key.sub=value`` overrides, applied in order.
        registries: the components that may be named, by kind; ``ppcls.engine.load_config`` passes them all.

    Raises:
        ConfigError: every mistake at once, each with file and line or the override it came from.
    """
    file = find(str(path))
    return _loaded(inherit.read(file), str(file), changes, registries)


def load_values(
    values: Mapping[str, Any], name: str, changes: Sequence[str] = (), *, registries: Mapping[str, Registry]
) -> Config:
    """Load what ``Config.plain`` returned.

    Args:
        name: what to call it in origins and errors, usually the path of the file that it was kept in.
        changes: as those of ``load``.

    Raises:
        ConfigError: as that of ``load``.
    """
    return _loaded(parse(json.dumps(values, ensure_ascii=False, indent=1), name), name, changes, registries)


def _loaded(root: Node, name: str, changes: Sequence[str], registries: Mapping[str, Registry]) -> Config:
    tree, messages = overrides.apply(root, changes)
    problems, config = _check(tree, registries)
    messages += [located(problem, tree) for problem in problems]
    checked = []
    if not any(problem.path[:1] == ("Stages",) for problem in problems):
        for stage in stages.expand(tree, messages):
            found, of_stage = _check(stage.tree, registries)
            # What is wrong with the recipe itself is said once.
            messages += [stage.located(problem) for problem in found if located(problem, stage.tree) not in messages]
            checked.append((stage, of_stage))
    raise_all(messages, name)
    loaded = _finished(config, tree, registries)
    for stage, of_stage in checked:
        loaded._stages[stage.name] = _finished(of_stage, stage.tree, registries)
    stages.warn_of_idle(tree, [stage for stage, _ in checked])
    return loaded


def _finished(config: Optional[Config], tree: Node, registries: Mapping[str, Registry]) -> Config:
    assert config is not None  # without problems there is one
    config._origins.update({path: node.origin for path, node in leaves(tree)})
    return _with_converted_arguments(config, registries)


def _check(tree: Node, registries: Mapping[str, Registry]) -> Tuple[List[Problem], Optional[Config]]:
    problems: List[Problem] = []
    config = None
    try:
        # A section with nothing below its name is one with its defaults.
        config = Config.model_validate({key: value for key, value in plain(tree).items() if value is not None})
    except ValidationError as error:
        problems = from_validation(error, Config, tree)
    known = {problem.path for problem in problems}
    problems += [problem for problem in components.check(tree, registries) if problem.path not in known]
    return problems, config


def _with_converted_arguments(config: Config, registries: Mapping[str, Registry]) -> Config:
    """Return the config with every component's arguments in their final types."""
    values = config.model_dump()
    for site in components.SITES:
        section: Any = values
        for part in site.path:
            section = section.get(part) if section else None
        if not section or isinstance(section, str):  # a teacher may be the name of a recipe
            continue
        registry = registries[site.kind]
        if site.own_keys:
            given = {key: value for key, value in section.items() if key not in site.own_keys}
            section.update(components.converted(registry[section["name"]], given))
        else:
            for item in section:
                name, arguments = next(iter(item.items()))
                item[name] = components.converted(registry[name], arguments) or None
    converted = Config.model_validate(values)
    converted._origins.update(config._origins)
    return converted
