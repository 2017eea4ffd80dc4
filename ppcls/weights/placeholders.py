"""What checkpoints keep beside the weights: objects of classes that are not imported, as placeholders."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Mapping

from ppcls.utils.text import printable
from ppcls.utils.unpickling import FunctionStandIn, Name, RefusedError, RestrictedUnpickler


class Placeholder:
    """Stands in for an object of any class: takes everything, keeps nothing, does nothing."""

    __slots__ = ()

    def __new__(cls, *arguments: Any) -> Placeholder:
        """Take any arguments."""
        return object.__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        """Ignore attributes."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Ignore an entry of a dict's subclass."""

    def append(self, item: Any) -> None:
        """Ignore an item of a list's subclass."""

    def extend(self, items: Any) -> None:
        """Ignore items of a list's subclass."""

    def add(self, item: Any) -> None:
        """Ignore a member of a set's subclass."""


def placeholder(*_: Any) -> Placeholder:
    """Stand in for a function whose result is no weight."""
    return Placeholder()


# Types that settings mention, and whose objects they contain.
_BUILTINS = (
    *("set", "frozenset", "slice", "complex", "bytearray", "int", "float", "str", "bool", "list", "dict", "object"),
    *("Ellipsis", "NotImplemented"),
)
SETTINGS: Mapping[Name, Any] = {
    (module, name): FunctionStandIn(placeholder)
    for module, names in {
        "numpy.random.bit_generator": ("__pyx_unpickle_SeedSequence",),
        "numpy.random._pickle": ("__generator_ctor", "__bit_generator_ctor", "__randomstate_ctor"),
        "collections": ("Counter", "deque"),
        "builtins": _BUILTINS,
        "__builtin__": (*_BUILTINS, "xrange", "long", "unicode"),
    }.items()
    for name in names
}
# Harmless classes of the standard library that checkpoints keep beside the weights.
_HARMLESS_CLASSES = {
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    *(("pathlib", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(("pathlib._local", name) for name in ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")),
    *(("datetime", name) for name in ("datetime", "date", "time", "timedelta")),
}
# Activations, and types of numbers.
_HARMLESS_FUNCTIONS = re.compile(
    r"(torch\.nn\.functional|torch\._C\._nn)\.[a-z]\w*|numpy\.(float|u?int|complex|bool)[\d_]*"
)
# Python 3.9 has no list of its own modules.
_STANDARD_LIBRARY = frozenset(
    getattr(sys, "stdlib_module_names", ())
    or {*sys.builtin_module_names, *(entry.stem for entry in Path(os.__file__).parent.iterdir())}
) | {"__builtin__", "copy_reg", "commands"}


def is_harmless(module: str, name: str) -> bool:
    """Return whether a name may belong to a checkpoint's settings: a class, and none of Python's own library's."""
    if (module, name) in _HARMLESS_CLASSES or _HARMLESS_FUNCTIONS.fullmatch(f"{module}.{name}"):
        return True
    last = name.rpartition(".")[2]
    in_standard_library = module.partition(".")[0] in _STANDARD_LIBRARY
    return not in_standard_library and last[:1].isupper() and last.isidentifier()


class PlaceholderUnpickler(RestrictedUnpickler):
    """Reads one pickle as ``RestrictedUnpickler`` does, with placeholders for the objects of harmless classes.

    Attributes:
        classes: the placeholders by the name of the class.
    """

    def __init__(self, file: BinaryIO, allowed: Mapping[Name, Any], encoding: str = "ASCII") -> None:
        super().__init__(file, allowed, encoding)
        self.classes: Dict[Name, Callable[..., Any]] = {}

    def find_unlisted(self, module: str, name: str) -> Any:
        """Return a placeholder for a class that does no harm; refuse every other name."""
        if not is_harmless(module, name):
            whole_model = any(known.startswith(("torch.nn.", "paddle.nn.")) for known, _ in self.classes)
            hint = " (for a whole pickled model, it seems: save its state_dict() instead)" if whole_model else ""
            raise RefusedError(f"{printable(module)}.{printable(name)}{hint}")
        key = (module, name)
        if key not in self.classes:
            self.classes[key] = type(name, (Placeholder,), {"__slots__": (), "__module__": module})
        return self.classes[key]
