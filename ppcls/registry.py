"""Names to classes: how a recipe's ``name: arguments`` finds the code behind it.

Standard library only, so that packages which must stay light (``ppcls.data.transforms``) can register themselves.
"""

from __future__ import annotations

import difflib
import inspect
import typing
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, Optional

from ppcls.errors import ConfigError


@dataclass(frozen=True)
class Parameter:
    """One constructor argument that a recipe may give."""

    name: str
    annotation: Any
    default: Any
    required: bool


@dataclass(frozen=True)
class Entry:
    """A registered class or function.

    Attributes:
        provided: constructor arguments that the code which builds the component passes; recipes may not give them.
        defaults: values that this name fixes over the constructor's own defaults; recipes may override them.
        bundles: constructor arguments that gather what many components take alike, and their classes: a recipe gives
            the arguments of the class as if they were the component's own.
    """

    name: str
    target: Callable[..., Any]
    provided: FrozenSet[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    bundles: Mapping[str, type] = field(default_factory=dict)

    def parameters(self) -> List[Parameter]:
        """Return the arguments that a recipe may give, in the constructor's order; those of bundles last."""
        own = [parameter for parameter in self._arguments(self.target) if parameter.name not in self.bundles]
        bundled = [parameter for bundle in self.bundles.values() for parameter in self._arguments(bundle)]
        return [parameter for parameter in (*own, *bundled) if parameter.name not in self.provided]

    def construct(self, values: Mapping[str, Any]) -> Any:
        """Call the target with ``values``, of which each bundle takes its part."""
        left = {**self.defaults, **values}
        for name, bundle in self.bundles.items():
            keys = [parameter.name for parameter in self._arguments(bundle)]
            left[name] = bundle(**{key: left.pop(key) for key in keys if key in left})
        return self.target(**left)

    def _arguments(self, function: Callable[..., Any]) -> List[Parameter]:
        hints = typing.get_type_hints(function.__init__ if inspect.isclass(function) else function)
        found = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                raise TypeError(f"{self.name}: a registered constructor names all its arguments")
            default = self.defaults.get(parameter.name, parameter.default)
            required = default is parameter.empty
            found.append(
                Parameter(parameter.name, hints.get(parameter.name, Any), None if required else default, required)
            )
        return found


class Registry:
    """A named table of components of one kind.

    Args:
        kind: what the entries are, in the words of an error message ("transform", "architecture").
        trial: gives what the calling code provides, made up, so that a recipe's arguments can be tried when it is
            loaded: the constructors refuse what makes no sense. None where construction costs too much.
        planned: names that users of similar software know and that do not exist here yet.
    """

    def __init__(
        self,
        kind: str,
        trial: Optional[Callable[[], Mapping[str, Any]]] = None,
        planned: Iterable[str] = (),
    ) -> None:
        self.kind = kind
        self.trial = trial
        self.planned = frozenset(planned)
        self._entries: Dict[str, Entry] = {}

    def register(
        self,
        target: Optional[Callable[..., Any]] = None,
        *,
        name: Optional[str] = None,
        provided: Iterable[str] = (),
        defaults: Optional[Mapping[str, Any]] = None,
        bundles: Optional[Mapping[str, type]] = None,
    ) -> Any:
        """Register a class or function under ``name`` (its own name unless given). Usable as a decorator."""

        def add(target: Callable[..., Any]) -> Callable[..., Any]:
            key = name or target.__name__
            if key in self._entries:
                raise ValueError(f"{self.kind} {key!r} is registered twice")
            self._entries[key] = Entry(key, target, frozenset(provided), dict(defaults or {}), dict(bundles or {}))
            return target

        return add if target is None else add(target)

    def names(self) -> List[str]:
        """Return all names, sorted."""
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def unknown(self, name: object) -> str:
        """Return what to say of a name that is not registered."""
        if isinstance(name, str) and name in self.planned:
            return f"{self.kind} {name!r} is not available in this version; (allowed: {', '.join(self.names())})"
        return f"unknown {self.kind} {name!r}{suggest(name, self._entries)}"

    def __getitem__(self, name: str) -> Entry:
        """Return the entry called ``name``.

        Raises:
            ConfigError: no such name; the message gives the nearest ones and all that exist.
        """
        if name not in self:
            raise ConfigError(self.unknown(name))
        return self._entries[name]

    def build(self, name: str, args: Optional[Mapping[str, Any]] = None, **provided: Any) -> Any:
        """Construct ``name`` from a recipe's ``args`` and what the calling code ``provided``.

        Raises:
            ConfigError: unknown name, unknown or missing argument, or a value the constructor refuses.
        """
        entry = self[name]
        args = dict(args or {})
        allowed = [parameter.name for parameter in entry.parameters()]
        for key in args:
            if key not in allowed:
                raise ConfigError(f"{name}: unknown argument {key!r}{suggest(key, allowed)}")
        missing = [p.name for p in entry.parameters() if p.required and p.name not in args]
        if missing:
            raise ConfigError(f"{name}: missing argument {', '.join(missing)}")
        # A base class's constructor may take a part of what the caller provides: pass what this one asks for.
        offered = {key: value for key, value in provided.items() if key in entry.provided}
        try:
            return entry.construct({**args, **offered})
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from None


def suggest(word: object, allowed: Iterable[str]) -> str:
    """Return "; did you mean 'x'? (allowed: a, b, c)", or " (allowed: a, b, c)", for the end of an error message."""
    allowed = list(allowed)
    near = difflib.get_close_matches(str(word), allowed, n=1, cutoff=0.6)
    if not near:  # difflib minds case, users do not
        lower = {name.lower(): name for name in allowed}
        near = [lower[n] for n in difflib.get_close_matches(str(word).lower(), list(lower), n=1, cutoff=0.6)]
    hint = f"; did you mean {near[0]!r}? (" if near else " ("
    return f"{hint}allowed: {', '.join(allowed) or 'none'})"
