"""The arguments of a constructor, and the check of their names and types.

This is the only place that checks them, for recipes, for exported models and for Python code alike.
"""

from __future__ import annotations

import collections.abc
import difflib
import inspect
import math
import numbers
import types
import typing
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, List, Literal, Mapping, Optional, Sequence, Tuple, Union

_UNIONS = (Union, getattr(types, "UnionType", Union))  # `int | None` has a type of its own from Python 3.10 on


@dataclass(frozen=True)
class Parameter:
    """One constructor argument that a recipe may give."""

    name: str
    annotation: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong with the arguments of a component.

    Attributes:
        path: the path of the value in the arguments, such as ("size", 0).
        message: what is wrong with it.
    """

    kind: Literal["unknown", "missing", "type"]
    path: Tuple[Any, ...]
    message: str

    def __str__(self) -> str:
        name = ".".join(map(str, self.path))
        if self.kind == "missing":
            return f"missing argument {name}"
        if self.kind == "unknown":
            return self.message.replace("unknown argument", f"unknown argument {name!r}", 1)
        return f"{name}: {self.message}"


class _TypeMismatchError(Exception):
    """A value is not what an annotation asks for.

    Attributes:
        expected: in a recipe's words, such as "a whole number".
        path: the path of the wrong value within the argument.
        value: the wrong value.
    """

    def __init__(self, expected: str, value: Any, path: Tuple[Any, ...] = ()) -> None:
        super().__init__(expected)
        self.expected = expected
        self.value = value
        self.path = path


def parameters_of(function: Callable[..., Any], lenient: bool = False) -> List[Parameter]:
    """Return all arguments of a class's constructor or a function.

    Args:
        lenient: an argument whose annotation cannot be resolved takes any value.

    Raises:
        TypeError: it takes arguments without naming them (``*args``, ``**kwargs``), or its arguments are not known.
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise TypeError("its arguments are not known; write a class or function around it") from None
    parameters = []
    hints = _hints(function, lenient)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise TypeError(f"it takes {parameter}; name all arguments, so that misspelt ones are found")
        required = parameter.default is parameter.empty
        default = None if required else parameter.default
        parameters.append(Parameter(parameter.name, hints.get(parameter.name, Any), default, required))
    return parameters


def _hints(function: Callable[..., Any], lenient: bool) -> Mapping[str, Any]:
    annotated: Any = function.__init__ if inspect.isclass(function) else function
    if not lenient:
        return typing.get_type_hints(annotated)
    hints = {}
    for name, annotation in getattr(annotated, "__annotations__", {}).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints.update(typing.get_type_hints(alone, globalns=getattr(annotated, "__globals__", {})))
        except Exception:  # noqa: BLE001  annotations are other people's code, which is evaluated here
            continue
    return hints


def check(
    parameters: Sequence[Parameter], arguments: Mapping[str, Any], other_keys: Sequence[str] = ()
) -> Tuple[Dict[str, Any], List[Mistake]]:
    """Return arguments in the types of their annotations, and all mistakes in them.

    A float may be written as a whole number, an integer as 1e2, and any sequence as a list. Arguments without an
    annotation take any value.

    Args:
        other_keys: keys that a recipe allows beside the arguments; messages name them.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: Dict[str, Any] = {}
    mistakes = []
    for name, value in arguments.items():
        if name not in known:
            hint = suggest(name, [*other_keys, *known])
            mistakes.append(Mistake("unknown", (name,), f"unknown argument{hint}"))
            continue
        try:
            values[name] = _convert(known[name].annotation, value)
        except _TypeMismatchError as error:
            mistakes.append(Mistake("type", (name, *error.path), _type_message(error)))
    missing = [name for name, parameter in known.items() if parameter.required and name not in arguments]
    return values, [*mistakes, *(Mistake("missing", (name,), "missing") for name in missing)]


def _type_message(error: _TypeMismatchError) -> str:
    hint = "; quote it to make it text" if "text" in error.expected and isinstance(error.value, (int, float)) else ""
    return f"must be {error.expected}, not {shown(error.value)}{hint}"


def shown(value: Any) -> str:
    """Return a value as messages show it: containers by their kind, arithmetic as it was written."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    text = getattr(value, "text", value)
    return f"{text if isinstance(text, str) and not isinstance(value, str) else repr(text):.60}"


def _convert(annotation: Any, value: Any) -> Any:
    """Return ``value`` in the type of ``annotation``.

    Raises:
        _TypeMismatchError: it has another type.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in _UNIONS:
        return _member(arguments, value)
    if origin is Literal:
        if any(type(value) is type(option) and value == option for option in arguments):
            return value
        raise _TypeMismatchError(" or ".join(map(repr, arguments)), value)
    container = origin or annotation
    if isinstance(container, type) and container is not str:
        if issubclass(container, collections.abc.Mapping):
            return _mapping(arguments, value)
        if issubclass(container, collections.abc.Sequence) and container is not bytes:
            return _sequence(container, arguments, value)
    scalar = _SCALARS.get(annotation)
    return value if scalar is None else scalar(value)


def _member(members: Sequence[Any], value: Any) -> Any:
    """Return ``value`` as the member of a union that fits it best."""
    fitting, failures = [], []
    for member in members:
        try:
            fitting.append(_convert(member, value))
        except _TypeMismatchError as error:
            failures.append(error)
    if fitting:
        return next((candidate for candidate in fitting if type(candidate) is type(value)), fitting[0])
    inside = [error for error in failures if error.path]
    if inside:  # the right kind of container, with something wrong in it
        raise inside[0]
    expected = dict.fromkeys(error.expected for error in failures)
    if "a number" in expected:
        expected.pop("a whole number", None)
    raise _TypeMismatchError(" or ".join(expected), value)


def _mapping(arguments: Sequence[Any], value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _TypeMismatchError("a mapping", value)
    annotation = arguments[1] if len(arguments) == 2 else Any
    return {key: _item(annotation, item, key) for key, item in value.items()}


def _sequence(container: type, arguments: Sequence[Any], value: Any) -> Any:
    if hasattr(value, "tolist") and getattr(value, "shape", False):  # an array that Python code gives
        value = value.tolist()
    if not isinstance(value, (list, tuple, range)):
        raise _TypeMismatchError("a list", value)
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        if len(arguments) != len(value):
            raise _TypeMismatchError(f"a list of {len(arguments)}", value)
        annotations = list(arguments)
    else:
        annotations = [arguments[0] if arguments else Any] * len(value)
    items = [_item(annotation, item, index) for index, (annotation, item) in enumerate(zip(annotations, value))]
    as_tuple = container is tuple or (isinstance(value, tuple) and container is not list)
    return tuple(items) if as_tuple else items


def _item(annotation: Any, value: Any, key: Any) -> Any:
    try:
        return _convert(annotation, value)
    except _TypeMismatchError as error:
        raise _TypeMismatchError(error.expected, error.value, (key, *error.path)) from None


def _integer(value: Any) -> int:
    whole = isinstance(value, numbers.Integral) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        raise _TypeMismatchError("a whole number", value)
    return int(value)


def _float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise _TypeMismatchError("a number", value)
    if not math.isfinite(value):
        raise _TypeMismatchError("a finite number", value)
    return float(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _TypeMismatchError("true or false", value)
    return value


def _text(value: Any) -> str:
    value = getattr(value, "text", value)  # a path such as 2024/11 that was read as arithmetic
    if not isinstance(value, str):
        raise _TypeMismatchError("text", value)
    return value


def _none(value: Any) -> None:
    if value is not None:
        raise _TypeMismatchError("null", value)


# Values of any other type are left to the constructor.
_SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    int: _integer,
    float: _float,
    bool: _boolean,
    str: _text,
    type(None): _none,
}


def suggest(word: object, allowed: Iterable[str]) -> str:
    """Return the end of an error message: "; did you mean 'x'? (allowed: a, b, c)", or " (allowed: a, b, c)"."""
    allowed = list(allowed)
    near = nearest(word, allowed)
    hint = f"; did you mean {near!r}? (" if near else " ("
    return f"{hint}allowed: {', '.join(allowed) or 'none'})"


def nearest(word: object, allowed: Iterable[str]) -> Optional[str]:
    """Return the most similar name, whatever the case; None if none is similar enough to be what was meant."""
    allowed = list(allowed)
    lower = {name.lower(): name for name in allowed}  # difflib minds case, users do not
    return _similar(str(word), allowed) or lower.get(_similar(str(word).lower(), lower) or "")


def _similar(word: str, allowed: Iterable[str]) -> Optional[str]:
    near = difflib.get_close_matches(word, allowed, n=1, cutoff=0.6)
    return near[0] if near and _is_likely(word, near[0]) else None


def _is_likely(word: str, near: str) -> bool:
    """Return whether ``near`` may be what was meant: a misleading suggestion is worse than none."""
    if len(word) <= 5 or near.startswith(word) or word.startswith(near):
        return True
    return abs(len(word) - len(near)) <= 3 and difflib.SequenceMatcher(None, near, word).ratio() >= 0.75
