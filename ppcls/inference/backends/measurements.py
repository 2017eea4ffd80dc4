"""Measurements of exported models, kept on disk so that each is made once on a machine.

They are kept beside the export. For single ONNX files, and where that folder cannot be written, they are in the user's
cache. No digest covers the file, and nothing but time is lost with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Tuple

from ppcls.errors import DataError, MachineError
from ppcls.inference.description import STEM, Description
from ppcls.utils import atomic, json_text
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import cache_folder

FILE = f"{STEM}_measurements.json"  # a new export removes what begins with STEM
_KEPT = 32  # in a file: a folder may be used by several machines


def recall(
    description: Description, key: Mapping[str, Any], measure: Callable[[], Dict[str, Any]]
) -> Tuple[Dict[str, Any], str]:
    """Return what was measured before under the same key, else what is measured now; and which it was, for the log.

    Args:
        key: everything that the measurement depends on, as JSON holds it.
        measure: returns the values, as JSON holds them.
    """
    paths = list(_paths(description))
    for path in paths:
        for entry in _read(path):
            if entry["key"] == key:
                return entry["values"], f"measured before: {path}"
    values = measure()
    problem = ""
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            entries = [{"key": key, "values": values}, *_read(path)][:_KEPT]
            atomic.write_text(path, json_text.dumps(entries, indent=1))
        except (OSError, MachineError) as error:
            problem = str(error)
            continue
        return values, f"measured now, kept in {path}"
    return values, f"measured now, and at each start, since it cannot be kept: {problem or 'no home folder'}"


def _paths(description: Description) -> Iterator[Path]:
    """Yield where measurements may be kept, the preferred place first."""
    if description.path.is_dir():
        yield description.folder / FILE
    try:
        yield cache_folder() / "measurements" / f"{description.files[description.onnx_file or '']}.json"
    except DataError:  # no home folder
        return


def _read(path: Path) -> List[Dict[str, Any]]:
    """Return the measurements in a file; none of a file that does not exist or, which the log says, is damaged."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return []
    except ValueError:
        entries = None
    is_valid = isinstance(entries, list) and all(
        isinstance(entry, dict) and isinstance(entry.get("key"), dict) and isinstance(entry.get("values"), dict)
        for entry in entries
    )
    if not is_valid:
        get_logger().warning("%s: damaged; it is written anew", path)
        return []
    return entries
