"""Files that belong together, replaced together: whatever happens, all old ones or all new ones can be read.

A set is ``PREFIX.pdparams``, ``PREFIX.pdopt`` and ``PREFIX.pdstates``. New files are written beside the old ones and
forced to disk; then one rename creates ``PREFIX.commit``, from which moment the new set counts; then each file takes
its final name. A reader or writer that finds ``PREFIX.commit`` finishes the renames first.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Callable, Mapping

from ppcls.errors import CheckpointError, MachineError

STATES = ".pdstates"
MARK = ".commit"
DIGEST = "digest"


def named(prefix: Path, suffix: str) -> Path:
    """Return ``PREFIX + suffix`` (``with_suffix`` would cut a prefix at its last dot)."""
    return prefix.with_name(prefix.name + suffix)


def write_set(prefix: Path, writers: Mapping[str, Callable[[Path], Any]], states: Mapping[str, Any]) -> None:
    """Replace the set at ``prefix``.

    Args:
        writers: for each suffix, a function that writes the file at the path it is given.
        states: what the JSON file of the set holds; the digests of the other files are added as "files", and its own.

    Raises:
        OSError: nothing was replaced.
    """
    settle(prefix)
    mark = named(prefix, MARK + ".tmp")
    try:
        digests = {suffix: _write(named(prefix, suffix + ".tmp"), write) for suffix, write in writers.items()}
        content = json.loads(json.dumps({**states, "files": digests}))
        mark.write_text(json.dumps({**content, DIGEST: states_digest(content)}, indent=1), encoding="utf-8")
        force_to_disk(mark)
    except OSError:
        for suffix in (*writers, MARK):  # they may fill the disk
            named(prefix, suffix + ".tmp").unlink(missing_ok=True)
        raise
    mark.replace(named(prefix, MARK))
    force_to_disk(prefix.parent)
    settle(prefix)


def _write(path: Path, write: Callable[[Path], Any]) -> str:
    """Write one file to disk and return its digest."""
    path.unlink(missing_ok=True)  # it may be a link left by an interrupted alias
    write(path)
    force_to_disk(path)
    return sha256(path)


def settle(prefix: Path) -> None:
    """Finish a replacement that was interrupted after its commit; without one, do nothing.

    Raises:
        CheckpointError: the commit itself is damaged.
    """
    mark = named(prefix, MARK)
    if not mark.is_file():
        return
    try:
        suffixes = list(json.loads(mark.read_text(encoding="utf-8"))["files"])
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{mark}: damaged; delete it, and resume from another checkpoint") from None
    for suffix in suffixes:
        temporary = named(prefix, suffix + ".tmp")
        if temporary.exists():
            temporary.replace(named(prefix, suffix))
    force_to_disk(prefix.parent)
    mark.replace(named(prefix, STATES))
    force_to_disk(prefix.parent)


def link(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``; a copy where the file system has no links.

    Files of a set are never written in place, so sharing one between sets is safe.
    """
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def sha256(path: Path) -> str:
    """Return the file's digest as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def states_digest(states: Mapping[str, Any]) -> str:
    """Return the digest of what the JSON file of a set says, but for the digest."""
    content = {key: value for key, value in states.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_text(path: Path, text: str) -> None:
    """Replace one text file in a single step.

    Raises:
        MachineError: it could not be written.
    """
    temporary = named(path, ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        force_to_disk(temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise MachineError(f"{path} cannot be written: {error.strerror}") from None


def force_to_disk(path: Path) -> None:
    """Return when a file or folder is on the disk, and survives a power cut."""
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
