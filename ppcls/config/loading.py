"""The one way from a recipe file and ``-o`` overrides to a checked, frozen Config."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional, Sequence, Tuple, Union

from pydantic import ValidationError

from ppcls.config import components, inherit, overrides
from ppcls.config.find import find
from ppcls.config.problems import Problem, from_validation, located, raise_all
from ppcls.config.registry import Registry
from ppcls.config.schema import Config
from ppcls.config.tree import Node, leaves, plain


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
    tree, messages = overrides.apply(inherit.read(file), changes)
    problems, config = _check(tree, registries)
    raise_all(messages + [located(problem, tree) for problem in problems], str(file))
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
        if not section:
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
