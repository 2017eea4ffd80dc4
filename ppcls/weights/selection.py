"""The weights in a file's content: a search through nested dicts, and what to say where it finds nothing."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ppcls.errors import WeightsError
from ppcls.utils.text import printable
from ppcls.weights.placeholders import Placeholder
from ppcls.weights.torch_unpickler import UnsupportedTensor
from ppcls.weights.wording import CHOOSE
from ppcls.weights.wrappers import (
    CALLBACKS,
    NOT_WEIGHTS,
    PADDLE_NAMES,
    Copy,
    Wanted,
    is_optimizer,
    is_wrapper,
    list_names,
    prefix_groups,
    rank_of,
    sorted_copies,
    without_prefixes,
)

_MAX_NODES, _MAX_DEPTH = 1000, 32


@dataclass(frozen=True)
class Selection:
    """The weights that were taken from a file.

    Attributes:
        copy: those.
        others: further copies that were not, for messages.
    """

    copy: Copy
    others: Tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return what is worth a line in the log; nothing where the file leaves no choice."""
        texts = []
        if self.others:
            texts.append(
                f"holds several copies of weights: took {self.copy}, not {', '.join(self.others)}; to use another "
                "one, give its name (--weights-key, Global.weights_key, key= of load_weights)"
            )
        if self.copy.left_out and not self.others:
            texts.append(f"left out {list_names(self.copy.left_out)}, which belong to training")
        return "; ".join(texts)


class Candidate(NamedTuple):
    """What looks like weights: the keys that lead to a dict, and the number of tensors in it."""

    path: Tuple[str, ...]
    tensors: int

    def __str__(self) -> str:
        return f"{printable('.'.join(self.path))} ({self.tensors} tensors)"


@dataclass
class _Search:
    """Walks through nested dicts.

    Attributes:
        types: of values that are tensors.
        wanted: what is known of the weights.
        unreadable: descriptions of whole pickled models.
    """

    types: Tuple[type, ...]
    wanted: Wanted
    unreadable: List[str] = field(default_factory=list)
    _nodes: int = 0

    def copies(self, node: Dict[Any, Any], path: Tuple[str, ...] = ()) -> Iterator[Copy]:
        """Yield the copies of weights below a dict, by known keys only."""
        self._count(path)
        found = False
        for key in sorted((key for key in node if is_wrapper(key)), key=rank_of):
            value = node[key]
            if isinstance(value, dict):
                for copy in self.copies(value, (*path, key)):
                    found = True
                    yield copy
            elif is_pickled_model(value):
                self.unreadable.append(_pickled_model(".".join((*path, key)), value))
        if isinstance(node.get(CALLBACKS), dict):
            for name, state in node[CALLBACKS].items():
                yield from self._average_of_callback(state, (*path, CALLBACKS, str(name)))
        tensors = self.tensors(node)
        if not found and tensors and not is_optimizer(tensors):
            # Not its tensors alone: what is no tensor is refused by name once it is chosen.
            weights = {name: value for name, value in node.items() if name != PADDLE_NAMES}
            yield from without_prefixes(weights, path, self.wanted)

    def tensors(self, node: Dict[Any, Any]) -> List[str]:
        """Return the names of the tensors in a dict, those that cannot be read included."""
        kinds = (*self.types, UnsupportedTensor)
        return [name for name, value in node.items() if isinstance(name, str) and isinstance(value, kinds)]

    def _average_of_callback(self, state: Any, path: Tuple[str, ...]) -> Iterator[Copy]:
        """Yield the copies in the state of one of Lightning's callbacks; its other tensors are no weights."""
        for key in (key for key in state if is_wrapper(key)) if isinstance(state, dict) else ():
            if isinstance(state[key], dict):
                yield from self.copies(state[key], (*path, key))

    def candidates(self, node: Any, path: Tuple[str, ...] = ()) -> Iterator[Candidate]:
        """Yield what looks like weights below a dict, whatever its keys are."""
        self._count(path)
        if not isinstance(node, dict):
            return
        tensors = self.tensors(node)
        if tensors and path and not is_optimizer(tensors):
            yield Candidate(path, len(tensors))
        for key, value in node.items():
            if isinstance(key, str) and isinstance(value, dict) and not NOT_WEIGHTS.fullmatch(key):
                yield from self.candidates(value, (*path, key))

    def not_known(self, node: Dict[Any, Any], path: Tuple[str, ...], copies: List[Copy]) -> List[str]:
        """Return what looks like further copies of the weights below a dict, under keys that mean nothing here.

        Args:
            path: of the dict.
            copies: those under known keys, the chosen one first.
        """
        found: List[str] = []
        with contextlib.suppress(WeightsError):  # nested too deeply: the first ones will do
            for candidate in self.candidates(node, path):
                inside = any(copy.path[: len(candidate.path)] == candidate.path for copy in copies)
                if not inside and candidate.tensors > len(copies[0].tensors) / 2:
                    found.append(str(candidate))
        return found

    def _count(self, path: Tuple[str, ...]) -> None:
        self._nodes += 1
        if self._nodes > _MAX_NODES or len(path) > _MAX_DEPTH:  # a dict can hold itself
            raise WeightsError(f"nested too deeply: more than {_MAX_DEPTH} levels, or more than {_MAX_NODES} dicts")


def select(content: Any, origin: str, types: Tuple[type, ...], key: Optional[str], wanted: Wanted) -> Selection:
    """Return the weights in a file's content.

    Args:
        content: what the file holds.
        origin: the file, for messages.
        types: of values that are tensors.
        key: of the weights to take, "teacher" or "model.ema"; None takes the preferred ones.
        wanted: what is known of the weights.

    Raises:
        WeightsError: there are none, or none at ``key``; the message lists what looks like weights.
    """
    if is_pickled_model(content):
        raise WeightsError(_pickled_model(origin, content))
    if not isinstance(content, dict):
        raise WeightsError(f"{origin}: expected a dict of arrays, found {describe(content)}")
    search = _Search(types, wanted)
    try:
        node, path = (content, ()) if key is None else _find(content, key, origin, search)
        copies = list(search.copies(node, path))
        if not copies:
            raise WeightsError(f"{origin}: {_nothing_found(search, node, key)}{_list_candidates(content, types)}")
    except WeightsError as error:
        raise error if str(error).startswith(origin) else WeightsError(f"{origin}: {error}") from None
    ordered = sorted_copies(content, copies, wanted.submodel)
    _require_tensors(ordered[0], origin, types, content)
    further = _Search(types, wanted).not_known(node, path, ordered)
    return Selection(ordered[0], (*map(str, ordered[1:]), *further, *search.unreadable))


def describe(value: Any) -> str:
    """Return what an object out of a file is, for a message."""
    if isinstance(value, UnsupportedTensor):
        return value.description
    kind = next((kind for kind in (dict, Placeholder) if isinstance(value, kind)), type(value))
    name = "special object" if kind is Placeholder else kind.__name__
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def is_pickled_model(value: Any) -> bool:
    """Return whether an object out of a file stands for one whose code is elsewhere."""
    return isinstance(value, Placeholder) and type(value) is not Placeholder


def _pickled_model(place: str, value: Any) -> str:
    kind = printable(type(value).__name__)
    return f"{place}: a whole pickled model ({kind}), which needs its code; save its state_dict()"


def _find(content: Dict[Any, Any], key: str, origin: str, search: _Search) -> Tuple[Dict[Any, Any], Tuple[str, ...]]:
    """Return the dict at a key: dict in dict, joined by dots, then a prefix of tensor names."""
    node = content
    path: Tuple[str, ...] = ()
    parts = key.split(".")
    while parts:
        lengths = range(len(parts), 0, -1)
        name = next((".".join(parts[:n]) for n in lengths if ".".join(parts[:n]) in node), None)
        if name is None:
            break
        value = node[name]
        if is_pickled_model(value):
            raise WeightsError(_pickled_model(f"{origin}: {printable(key)}", value))
        if not isinstance(value, dict):
            raise WeightsError(f"{printable(key)!r} is {describe(value)}, not a dict of weights")
        node, path, parts = value, (*path, name), parts[name.count(".") + 1 :]
    if parts:
        prefix = ".".join(parts) + "."
        node = {name[len(prefix) :]: node[name] for name in search.tensors(node) if name.startswith(prefix)}
        path = (*path, ".".join(parts))
    if not node:
        raise WeightsError(f"there is no {printable(key)!r} in it{_list_candidates(content, search.types)}")
    return node, path


def _nothing_found(search: _Search, node: Dict[Any, Any], key: Optional[str]) -> str:
    where = "" if key is None else f"{printable(key)!r}: "
    if search.unreadable:
        return f"{where}{search.unreadable[0]}"
    if is_optimizer(search.tensors(node)):
        return f"{where}the state of an optimizer, not weights; those are in the .pdparams file beside it"
    if not node:
        return f"{where}holds no tensors"
    name, value = next(iter(node.items()))
    return f"{where}not a weight file: {printable(name)!r} is {describe(value)}"


def _require_tensors(copy: Copy, origin: str, types: Tuple[type, ...], content: Dict[Any, Any]) -> None:
    for name, value in copy.tensors.items():
        if not isinstance(value, types) or not isinstance(name, str):
            raise WeightsError(
                f"{origin}: not a weight file: {printable(name)!r} is {describe(value)}"
                + _list_candidates({} if not copy.path else content, types)
            )


def _list_candidates(content: Dict[Any, Any], types: Tuple[type, ...]) -> str:
    search = _Search(types, Wanted())
    names = search.tensors(content)
    found = prefix_groups(names) if not is_optimizer(names) else []
    with contextlib.suppress(WeightsError):  # nested too deeply: the first ones will do
        found.extend(map(str, search.candidates(content)))
    return f"\nWhat looks like weights in it: {list_names(found)}; {CHOOSE}" if found else ""
