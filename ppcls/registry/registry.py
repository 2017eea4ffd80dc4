"""Tables of components by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Tuple

from ppcls.errors import ConfigError, PpclsError
from ppcls.registry import arguments, sources
from ppcls.registry.arguments import Mistake, Parameter, suggest
from ppcls.registry.sources import Source

_HOW_TO_ADD = "add your own with --import FILE or Global.imports"


@dataclass(frozen=True)
class Entry:
    """A registered class or function.

    Attributes:
        provided: constructor arguments that the code which builds the component passes; recipes may not give them.
        defaults: values that this name fixes over the constructor's own defaults; recipes may override them.
        bundles: constructor arguments that gather what many components take alike, and their classes: a recipe gives
            the arguments of the class as if they were the component's own.
        source: where it comes from; None for ours.
    """

    name: str
    target: Callable[..., Any]
    provided: FrozenSet[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    bundles: Mapping[str, type] = field(default_factory=dict)
    source: Optional[Source] = None

    def parameters(self) -> List[Parameter]:
        """Return the arguments that a recipe may give, in the constructor's order; those of bundles last."""
        direct = [parameter for parameter in self._arguments(self.target) if parameter.name not in self.bundles]
        bundled = [parameter for bundle in self.bundles.values() for parameter in self._arguments(bundle)]
        return [parameter for parameter in (*direct, *bundled) if parameter.name not in self.provided]

    def takes(self, name: str) -> bool:
        """Return whether a recipe may give the argument ``name``."""
        return any(parameter.name == name for parameter in self.parameters())

    def check(
        self, given: Mapping[str, Any], other_keys: Sequence[str] = ()
    ) -> Tuple[Dict[str, Any], Sequence[Mistake]]:
        """Return a recipe's arguments in their final types, and what is wrong with them; see ``arguments.check``."""
        return arguments.check(self.parameters(), given, other_keys)

    def construct(self, values: Mapping[str, Any]) -> Any:
        """Call the target with ``values``, of which each bundle takes its part.

        Raises:
            ConfigError: the target refuses them; also for any error inside other people's code.
        """
        rest = {**self.defaults, **values}
        for name, bundle in self.bundles.items():
            keys = [parameter.name for parameter in self._arguments(bundle)]
            rest[name] = bundle(**{key: rest.pop(key) for key in keys if key in rest})
        if self.source is None:
            return self.target(**rest)
        try:
            return self.target(**rest)
        except PpclsError:
            raise
        except Exception as error:
            raise ConfigError(f"of {self.source}: {sources.describe_failure(error, self.source)}") from error

    def _arguments(self, function: Callable[..., Any]) -> List[Parameter]:
        found = arguments.parameters_of(function, lenient=self.source is not None)
        fixed = self.defaults
        return [
            Parameter(item.name, item.annotation, fixed[item.name], required=False) if item.name in fixed else item
            for item in found
        ]


class Registry:
    """A named table of components of one kind.

    Args:
        kind: what the entries are, in the words of an error message ("transform", "architecture").
        trial: gives what the calling code provides, made up, so that a recipe's arguments can be tried when it is
            loaded: the constructors refuse what makes no sense. None where construction costs too much.
        planned: names that users of similar software know and that do not exist here yet.
        offers: arguments that the calling code provides to every constructor that names them.
        requires: arguments that every constructor must take.
        interface: attributes that the calling code uses; what other people's code makes is checked for them.
        base: the class that has them all, for messages.
    """

    def __init__(
        self,
        kind: str,
        trial: Optional[Callable[[], Mapping[str, Any]]] = None,
        planned: Iterable[str] = (),
        *,
        offers: Iterable[str] = (),
        requires: Iterable[str] = (),
        interface: Iterable[str] = (),
        base: str = "",
    ) -> None:
        self.kind = kind
        self.trial = trial
        self.planned = frozenset(planned)
        self.offers = frozenset(offers)
        self.requires = tuple(requires)
        self.interface = tuple(interface)
        self.base = base
        self._entries: Dict[str, Entry] = {}

    def register(
        self,
        target: Optional[Callable[..., Any]] = None,
        *,
        name: Optional[str] = None,
        provided: Optional[Iterable[str]] = None,
        defaults: Optional[Mapping[str, Any]] = None,
        bundles: Optional[Mapping[str, type]] = None,
    ) -> Any:
        """Register a class or function under ``name`` (its own name unless given). Usable as a decorator.

        Args:
            provided: see ``Entry``; for other people's code, by default all that it names and the registry offers.

        Raises:
            ConfigError: the name is taken, or the constructor does not say which arguments it takes.
        """

        def add(target: Callable[..., Any]) -> Callable[..., Any]:
            key = name or getattr(target, "__name__", None)
            if key is None:
                raise ConfigError(f"{target!r} has no name of its own; give register(name=...)")
            entry = Entry(key, target, frozenset(), dict(defaults or {}), dict(bundles or {}), sources.caller_source())
            self._add(entry, provided)
            return target

        return add if target is None else add(target)

    def _add(self, entry: Entry, provided: Optional[Iterable[str]]) -> None:
        before, source = self._entries.get(entry.name), entry.source
        if before is not None and not (source is not None and source is before.source and source.is_interactive):
            raise ConfigError(
                f"{self.kind} {entry.name!r} is registered twice: by {before.source or 'ppcls'} and by "
                f"{source or 'ppcls'}; rename one of them, or give register(name=...)"
            )
        if source is not None:
            try:
                taken = {parameter.name for parameter in entry.parameters()}
            except TypeError as error:
                raise ConfigError(f"{self.kind} {entry.name!r}: {error}") from error
            missing = [name for name in self.requires if name not in taken]
            if missing:
                raise ConfigError(f"{self.kind} {entry.name!r}: its constructor must take {', '.join(missing)}")
            if provided is None:
                provided = self.offers & taken
            source.on_failure(lambda: self._entries.pop(entry.name, None))
        entry = Entry(entry.name, entry.target, frozenset(provided or ()), entry.defaults, entry.bundles, source)
        self._entries[entry.name] = entry

    def names(self) -> List[str]:
        """Return all names, sorted; with those of installed packages that register components."""
        sources.load_entry_points()
        return sorted(self._entries)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name not in self._entries:
            sources.load_entry_points()
        return name in self._entries

    def unknown(self, name: object) -> str:
        """Return what to say of a name that is not registered."""
        if isinstance(name, str) and name in self.planned:
            return f"{self.kind} {name!r} is not available in this version; (allowed: {', '.join(self.names())})"
        text = f"unknown {self.kind} {name!r}{suggest(name, self.names())}; {_HOW_TO_ADD}"
        return "; ".join([text, *sources.broken_entry_points()])

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
            ConfigError: unknown name, unknown or missing argument, a value of the wrong type or that the constructor
                refuses, or anything else that goes wrong in other people's code.
        """
        entry = self[name]
        values, mistakes = entry.check(args or {})
        if mistakes:
            raise ConfigError(f"{name}: {'; '.join(map(str, mistakes))}")
        # A base class's constructor may take a part of what the caller provides: pass what this one asks for.
        offered = {key: value for key, value in provided.items() if key in entry.provided}
        try:
            made = entry.construct({**values, **offered})
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error.__cause__
        if entry.source is not None:
            self._require_interface(entry, made)
        return made

    def _require_interface(self, entry: Entry, made: Any) -> None:
        lacking = [name for name in self.interface if not hasattr(made, name)]
        if lacking:
            raise ConfigError(
                f"{entry.name}: of {entry.source}: a {self.kind} needs {', '.join(lacking)}, which "
                f"{type(made).__name__} does not have; derive it from {self.base}"
            )
