"""All mistakes of a recipe in one message, each with its file and line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Type

from pydantic import BaseModel, ValidationError

from ppcls.config.tree import Node, Path, descend, dotted
from ppcls.errors import ConfigError
from ppcls.registry.arguments import shown, suggest

# Pydantic's types of errors, in the words of recipes.
_MEANING = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list",
    "sequence_str": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "none_required": "must be null",
    "is_instance_of": "must be a list",
}


@dataclass(frozen=True)
class Problem:
    """One mistake: the path of the value and what is wrong with it."""

    path: Path
    message: str


def from_validation(error: ValidationError, model: Type[BaseModel], tree: Node) -> List[Problem]:
    """Return pydantic's errors as problems of a recipe."""
    messages: Dict[Path, List[str]] = {}
    for detail in error.errors(include_url=False):
        kind, loc = detail["type"], tuple(detail["loc"])
        if kind == "missing":
            path, message = loc, "missing"
        elif kind == "extra_forbidden":
            path, message = loc, f"unknown key{suggest(loc[-1], _fields(model, loc[:-1]))}"
        else:
            # Pydantic appends to the path which member of a union it tried.
            path = descend(tree, loc)[1]
            message = _MEANING.get(kind) or _lower(detail["msg"])
        if message not in messages.setdefault(path, []):
            messages[path].append(message)
    return [Problem(path, _with_value(" or ".join(texts), tree, path)) for path, texts in messages.items()]


def _with_value(message: str, tree: Node, path: Path) -> str:
    if not message.startswith("must"):
        return message
    node, reached = descend(tree, path)
    value = node.value if reached == path else None
    hint = "; quote it to make it text" if "text" in message and isinstance(value, (int, float)) else ""
    return f"{message}, not {shown(value)}{hint}"


def _lower(message: str) -> str:
    message = message.replace("Input should be", "must be").replace("Value error, ", "")
    return message[:1].lower() + message[1:]


def _fields(model: Any, loc: Path) -> List[str]:
    """Return the keys that the (nested) section at ``loc`` below ``model`` has."""
    for part in loc:
        if isinstance(part, int):  # an item of a list: the list's annotation led to its model
            continue
        field = model.model_fields.get(part)
        model = _section(field.annotation) if field is not None else None
        if model is None:
            return []
    return list(model.model_fields)


def _section(annotation: Any) -> Any:
    """Return the section that an annotation is, or holds: itself, an optional one, or the items of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, (_section(argument) for argument in getattr(annotation, "__args__", ()))), None)


def format_problem(problem: Problem, tree: Node, context: str = "") -> str:
    """Return "file:line: context: Dotted.path: what is wrong"."""
    parts = [descend(tree, problem.path)[0].origin, context, dotted(problem.path), problem.message]
    return ": ".join(filter(None, parts))


def raise_all(messages: List[str], recipe: str) -> None:
    """Raise one ConfigError for all messages, if there are any."""
    if not messages:
        return
    unique = list(dict.fromkeys(messages))
    if len(unique) == 1:
        raise ConfigError(unique[0])
    lines = "\n".join(f"  {message}" for message in unique)
    raise ConfigError(f"{len(unique)} mistakes in {recipe}:\n{lines}")
