"""Tables of components by name."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Callable, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from ppcls.errors import ConfigError, PpclsError
from ppcls.registry import arguments, entry_points, sources
from ppcls.registry.arguments import Mistake, Parameter, suggest
from ppcls.registry.sources import Source

_HOW_TO_ADD = "add your own with --import FILE or Global.imports"


@dataclass(frozen=True)
class Entry:
    """A registered class or function.

    Attributes:
        injected: constructor arguments that the calling code passes. Recipes may not give them.
        defaults: values that this name fixes over the constructor's own defaults. Recipes may override them.
        argument_groups: constructor arguments that are objects, and their classes. A recipe gives the arguments of
            such a class as if they were the component's own.
        source: where it comes from; None for ours.
    """

    name: str
    target: Callable[..., Any]
    injected: FrozenSet[str] = frozenset()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    argument_groups: Mapping[str, type] = field(default_factory=dict)
    source: Optional[Source] = None

    def parameters(self) -> Sequence[Parameter]:
        """Return the arguments that a recipe may give, in the constructor's order; those of groups last."""
        return self._parameters

    @cached_property
    def _parameters(self) -> Sequence[Parameter]:
        direct = [parameter for parameter in self._arguments(self.target) if parameter.name not in self.argument_groups]
        grouped = [parameter for group in self.argument_groups.values() for parameter in self._arguments(group)]
        return tuple(parameter for parameter in (*direct, *grouped) if parameter.name not in self.injected)

    def takes(self, name: str) -> bool:
        """Return whether a recipe may give the argument ``name``."""
        return any(parameter.name == name for parameter in self.parameters())

    def check(
        self, args: Mapping[str, Any], other_keys: Sequence[str] = ()
    ) -> Tuple[Dict[str, Any], Sequence[Mistake]]:
        """Return a recipe's arguments in their final types, and all mistakes in them; see ``arguments.check``."""
        return arguments.check(self.parameters(), args, other_keys)

    def construct(self, values: Mapping[str, Any]) -> Any:
        """Call the target with ``values``; those of an argument group are passed as one object.

        Raises:
            ConfigError: the target refuses them, or other people's code fails in any way.
        """
        keywords = {**self.defaults, **values}
        for name, group in self.argument_groups.items():
            members = [parameter.name for parameter in self._arguments(group)]
            keywords[name] = group(**{member: keywords.pop(member) for member in members if member in keywords})
        if self.source is None:
            return self.target(**keywords)
        try:
            return self.target(**keywords)
        except PpclsError:
            raise
        except Exception as error:
            raise ConfigError(f"of {self.source}: {sources.describe_failure(error, self.source)}") from error

    def _arguments(self, function: Callable[..., Any]) -> List[Parameter]:
        """Return the arguments of a function or class, with the defaults of this name."""
        parameters = arguments.parameters_of(function, lenient=self.source is not None)
        return [
            replace(parameter, default=self.defaults[parameter.name], required=False)
            if parameter.name in self.defaults
            else parameter
            for parameter in parameters
        ]


class Registry:
    """A named table of components of one kind.

    Args:
        kind: what the entries are, in the words of an error message ("transform", "architecture").
        trial_arguments: returns placeholders for the injected arguments, so that a recipe's arguments can be validated
            by construction when it is loaded. None where construction costs too much.
        injectable: arguments that the calling code passes to every constructor that names them.
        required_arguments: arguments that every constructor must take.
        interface: attributes that the calling code uses. Components of other people are checked for them.
        base: the class that has them all, for messages.
    """

    def __init__(
        self,
        kind: str,
        trial_arguments: Optional[Callable[[], Mapping[str, Any]]] = None,
        *,
        injectable: Iterable[str] = (),
        required_arguments: Iterable[str] = (),
        interface: Iterable[str] = (),
        base: str = "",
    ) -> None:
        self.kind = kind
        self.trial_arguments = trial_arguments
        self.injectable = frozenset(injectable)
        self.required_arguments = tuple(required_arguments)
        self.interface = tuple(interface)
        self.base = base
        self._entries: Dict[str, Entry] = {}
        self._unlisted: Set[str] = set()

    def register(
        self,
        target: Optional[Callable[..., Any]] = None,
        *,
        name: Optional[str] = None,
        injected: Optional[Iterable[str]] = None,
        defaults: Optional[Mapping[str, Any]] = None,
        argument_groups: Optional[Mapping[str, type]] = None,
        listed: bool = True,
    ) -> Any:
        """Register a class or function under ``name`` (by default its own). Usable as a decorator.

        Args:
            injected: see ``Entry``. By default, for other people's code, all injectable arguments that it takes.
            defaults: see ``Entry``.
            argument_groups: see ``Entry``.
            listed: whether ``names`` has it. A placeholder that recipes cannot name is not listed.

        Raises:
            ConfigError: the name is taken, or the constructor does not say which arguments it takes.
        """

        def add(target: Callable[..., Any]) -> Callable[..., Any]:
            key = name or getattr(target, "__name__", None)
            if key is None:
                raise ConfigError(f"{target!r} has no name of its own; give register(name=...)")
            fixed, groups = dict(defaults or {}), dict(argument_groups or {})
            self._add(Entry(key, target, frozenset(injected or ()), fixed, groups, sources.caller_source()), injected)
            if not listed:
                self._unlisted.add(key)
            return target

        return add if target is None else add(target)

    def _add(self, entry: Entry, injected: Optional[Iterable[str]]) -> None:
        source, previous = entry.source, self._entries.get(entry.name)
        if previous is not None and not (source is not None and source.is_interactive and source is previous.source):
            if source is not None and source is previous.source and _module(entry) != _module(previous):
                return  # the same file, run again as another module
            raise ConfigError(
                f"{self.kind} {entry.name!r} is registered twice: by {previous.source or 'ppcls'} and by "
                f"{source or 'ppcls'}; rename one of them, or give register(name=...)"
            )
        if source is not None:
            accepted = self._accepted_arguments(entry)
            if injected is None:
                entry = replace(entry, injected=self.injectable & accepted)
            source.on_failure(lambda: self._entries.pop(entry.name, None))
        self._entries[entry.name] = entry

    def _accepted_arguments(self, entry: Entry) -> Set[str]:
        """Return the names of all arguments that other people's constructor takes.

        Raises:
            ConfigError: it does not name them, or lacks one that it must take.
        """
        try:
            accepted = {parameter.name for parameter in replace(entry, injected=frozenset()).parameters()}
        except TypeError as error:
            raise ConfigError(f"{self.kind} {entry.name!r}: {error}") from error
        missing = [name for name in self.required_arguments if name not in accepted]
        if missing:
            raise ConfigError(f"{self.kind} {entry.name!r}: its constructor must take {', '.join(missing)}")
        return accepted

    def names(self) -> List[str]:
        """Return all names that are listed, sorted; with those of installed packages that register components."""
        entry_points.load_entry_points()
        return sorted(self._entries.keys() - self._unlisted)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name not in self._entries:
            entry_points.load_entry_points()
        return name in self._entries

    def unknown(self, name: object) -> str:
        """Return the message for a name that is not registered."""
        names = self.names()
        text = f"unknown {self.kind} {name!r}{suggest(name, names)}"
        return "; ".join([text, _HOW_TO_ADD, *entry_points.broken_entry_points()])

    def __getitem__(self, name: str) -> Entry:
        """Return the entry called ``name``.

        Raises:
            ConfigError: no such name; the message gives the nearest ones and all that exist.
        """
        if name not in self:
            raise ConfigError(self.unknown(name))
        return self._entries[name]

    def build(self, name: str, args: Optional[Mapping[str, Any]] = None, **injected: Any) -> Any:
        """Construct ``name`` from a recipe's ``args``, which are checked, and what the calling code injects.

        Raises:
            ConfigError: unknown name, unknown or missing argument, a value of the wrong type or that the constructor
                refuses, or any error in other people's code.
        """
        values, mistakes = self[name].check(args or {})
        if mistakes:
            raise ConfigError(f"{name}: {'; '.join(map(str, mistakes))}")
        try:
            return self.construct(self[name], values, injected)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error.__cause__

    def construct(self, entry: Entry, values: Mapping[str, Any], injected: Mapping[str, Any]) -> Any:
        """Construct a component from arguments that ``Entry.check`` has returned; see ``build``.

        Raises:
            ConfigError: as ``build``; the message does not name the component.
        """
        # A base class's constructor may take some of the injected arguments only.
        accepted = {key: value for key, value in injected.items() if key in entry.injected}
        component = entry.construct({**values, **accepted})
        if entry.source is not None:
            self._require_interface(entry, component)
        return component

    def _require_interface(self, entry: Entry, component: Any) -> None:
        missing = [name for name in self.interface if not hasattr(component, name)]
        if missing:
            raise ConfigError(
                f"of {entry.source}: every {self.kind} needs {', '.join(missing)}, which "
                f"{type(component).__name__} does not have; derive it from {self.base}"
            )


def _module(entry: Entry) -> Optional[str]:
    return getattr(entry.target, "__module__", None)
