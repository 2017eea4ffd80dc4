"""Public names of a package that are imported when they are first used."""

from __future__ import annotations

import importlib
from typing import Any, Callable, List, Mapping, Tuple


def lazy_exports(package: str, modules: Mapping[str, str]) -> Tuple[Callable[[str], Any], Callable[[], List[str]]]:
    """Return ``__getattr__`` and ``__dir__`` for a package's ``__init__.py`` (PEP 562).

    Args:
        package: its ``__name__``.
        modules: the module that defines each public name.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return get, lambda: sorted(modules)
