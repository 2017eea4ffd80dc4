"""Whether the imports that a run, checkpoint or export was made with are imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional, Sequence

from ppcls.errors import ConfigError
from ppcls.registry import sources
from ppcls.registry.entry_points import load_entry_points
from ppcls.registry.sources import Source
from ppcls.utils.logging import get_logger


def require_imported(records: Sequence[Mapping[str, Any]], what: str) -> None:
    """Require the recorded imports; warn about changed ones. Nothing is imported because a record says so.

    Args:
        records: see ``Source.record``.
        what: the run, checkpoint or export that was made with them, for messages.

    Raises:
        ConfigError: one of them is not imported here.
    """
    for record in records:
        source = _find(record)
        if source is None:
            load_entry_points()
            source = _find(record)
        if source is None:
            raise ConfigError(_not_imported(record, what))
        if source.sha256 != record.get("sha256"):
            get_logger().warning("%s was made with another version of %s (%s)", what, record["name"], source)


def _find(record: Mapping[str, Any]) -> Optional[Source]:
    """Return the source that a record means: the same file, the same content, or one of the same name."""
    for key in ("path", "sha256", "name"):
        for source in sources.known.values():
            if record.get(key) is not None and source.record()[key] == record[key]:
                return source
    return None


def _not_imported(record: Mapping[str, Any], what: str) -> str:
    name, path = str(record["name"]), record.get("path")
    if path is None:
        return f"{what} was made with components that were defined in {name}; write them to a file, and --import it"
    is_file = name.endswith(".py")
    existing = path if Path(path).is_file() else f"path/to/{name}"
    target = existing if is_file else name
    installed = "" if is_file else " (or install the package that it belongs to)"
    return (
        f"{what} was made with {name}: add --import {target}{installed}; in Python, call "
        f"ppcls.import_components({target!r}) first"
    )
