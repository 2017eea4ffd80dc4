"""A loaded recipe as YAML, each value with its origin."""

from __future__ import annotations

from typing import Any, List, Tuple

import yaml

from ppcls.config.numbers import parse_scalar
from ppcls.config.schema import Config
from ppcls.config.tree import Path

_COLUMN = 56  # where the comments start, when the value leaves room


def to_yaml(config: Config, origins: bool = True, imports: bool = False) -> str:
    """Return the whole recipe, defaults included, as text that is itself a valid recipe.

    Args:
        origins: whether a comment gives the origin of each value.
        imports: whether to keep ``Global.imports``. Files of a run do not.
    """
    values = config.plain()
    if imports:
        values["Global"]["imports"] = list(config.Global.imports)
    lines = _lines(values, ())
    if not origins:
        return "\n".join(text for text, _ in lines) + "\n"
    return "\n".join(_commented(text, config.where(*path) if path else None) for text, path in lines) + "\n"


def _commented(text: str, origin: Any) -> str:
    return f"{text:<{_COLUMN}}  # {' '.join(origin.split())}" if origin else text


def _lines(value: Any, path: Path, depth: int = 0) -> List[Tuple[str, Path]]:
    """Return the lines of a mapping or list, each with the path of its value, if it has one."""
    lines: List[Tuple[str, Path]] = []
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in entries:
        head = "  " * depth + (f"{_scalar(key)}:" if isinstance(value, dict) else "-")
        here = (*path, key)
        if isinstance(item, (dict, list)) and item and not _is_short(item):
            below = _lines(item, here, depth + 1)
            if head.endswith("-"):  # the first key of a mapping stands on the dash's line
                first, first_path = below[0]
                below[0] = (head + " " + first.lstrip(), first_path)
            else:
                lines.append((head, ()))
            lines += below
        else:
            # The origin of a list of scalars is that of its first item.
            lines.append((f"{head} {_scalar(item)}", (*here, 0) if isinstance(item, list) and item else here))
    return lines


def _is_short(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(item, (dict, list)) for item in value)


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        if parse_scalar(value) == value and value.strip() == value:
            text = yaml.safe_dump(value, width=10**6, allow_unicode=True).strip()
            return text.replace("\n...", "")
        return yaml.safe_dump(value, default_style='"', width=10**6, allow_unicode=True).strip()
    if isinstance(value, list):
        return "[" + ", ".join(_scalar(item) for item in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return "{}" if value == {} else repr(value)
