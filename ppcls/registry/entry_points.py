"""Installed packages that register components, named in the entry point group ``ppcls.components``."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, List, Sequence

from ppcls.errors import ConfigError
from ppcls.registry.importing import import_from, lock
from ppcls.utils.logging import get_logger

GROUP = "ppcls.components"
_loaded = threading.Event()
_failures: List[str] = []


def load_entry_points() -> None:
    """Import the entry points of all installed packages, once in a process.

    A warning names each one that cannot be imported; see ``broken_entry_points``.
    """
    if _loaded.is_set():
        return
    with lock:
        _loaded.set()
        from importlib import metadata  # takes as long as everything else that a command's help imports

        seen = set()
        for distribution in metadata.distributions():
            for point in distribution.entry_points:
                if point.group == GROUP and (point.name, point.value) not in seen:
                    seen.add((point.name, point.value))
                    _load_entry_point(point, f"{distribution.metadata['Name']} {distribution.version}")


def _load_entry_point(point: Any, package: str) -> None:
    name = point.value.partition(":")[0].strip()
    what = f"entry point {point.name!r} ({point.value}) of the package {package}"
    try:
        import_from(name, what, Path())
    except ConfigError as error:
        _failures.append(str(error))
        get_logger().warning("%s", error)


def broken_entry_points() -> Sequence[str]:
    """Return the errors of the entry points that could not be loaded."""
    return tuple(_failures)
