"""The files of a checkpoint, replaced together: whatever happens, all old ones or all new ones can be read.

A set is ``PREFIX.pdparams``, ``PREFIX.pdopt`` and ``PREFIX.pdstates``. New files are written beside the old ones and
forced to disk. Then one rename creates ``PREFIX.commit``: from that moment the new set counts. Then each file takes its
final name. A reader or writer that finds ``PREFIX.commit`` finishes the renames first.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, Callable, Mapping

from ppcls.errors import CheckpointError
from ppcls.utils import atomic, json_text
from ppcls.utils.digests import sha256
from ppcls.utils.paths import add_suffix

STATES = ".pdstates"
COMMIT = ".commit"
DIGEST = "digest"
TOKEN = "token"


def write(prefix: Path, writers: Mapping[str, Callable[[Path], Any]], states: Mapping[str, Any]) -> None:
    """Replace the set at ``prefix``. One process at a time may write a set; others may read it meanwhile.

    Args:
        writers: for each suffix, a function that writes the file at the path it is given.
        states: what the JSON file of the set holds; the digests of the other files are added as "files", and its own.

    Raises:
        OSError: nothing was replaced.
    """
    finish_commit(prefix)
    _remove_unfinished(prefix)
    # Each set has temporary names of its own: a reader that finishes one cannot touch what is written meanwhile.
    token = secrets.token_hex(4)
    mark = _temporary(prefix, COMMIT, token)
    try:
        digests = {suffix: _write_file(_temporary(prefix, suffix, token), writer) for suffix, writer in writers.items()}
        content = json.loads(json_text.dumps({**states, "files": digests, TOKEN: token}))
        mark.write_text(json_text.dumps({**content, DIGEST: states_digest(content)}, indent=1), encoding="utf-8")
        atomic.fsync(mark)
    except OSError:
        _remove_unfinished(prefix)  # it may fill the disk
        raise
    mark.replace(add_suffix(prefix, COMMIT))
    atomic.fsync(prefix.parent)
    finish_commit(prefix)


def _temporary(prefix: Path, suffix: str, token: str) -> Path:
    return add_suffix(prefix, f"{suffix}.{token}.tmp")


def _remove_unfinished(prefix: Path) -> None:
    """Remove what a writer that died left behind."""
    for name in ("", "_raw", "_peers"):
        for path in prefix.parent.glob(f"{glob.escape(prefix.name)}{name}.*.tmp"):
            path.unlink(missing_ok=True)


def _write_file(path: Path, writer: Callable[[Path], Any]) -> str:
    """Write one file to disk and return its digest."""
    writer(path)
    atomic.fsync(path)
    return sha256(path)


def finish_commit(prefix: Path) -> None:
    """Finish a replacement that was interrupted after its commit; without one, do nothing.

    Raises:
        CheckpointError: the commit itself is damaged.
    """
    mark = add_suffix(prefix, COMMIT)
    if not mark.is_file():
        return
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        suffixes, token = list(content["files"]), content[TOKEN]
    except FileNotFoundError:  # another process that reads the set has just finished it
        return
    except (ValueError, KeyError, TypeError):
        raise CheckpointError(f"{mark}: damaged; delete it, and resume from another checkpoint") from None
    for suffix in suffixes:
        temporary = _temporary(prefix, suffix, token)
        with contextlib.suppress(FileNotFoundError):  # moved before the interruption, or by another process now
            temporary.replace(add_suffix(prefix, suffix))
            temporary.unlink()  # it stays where both are links to one file
    atomic.fsync(prefix.parent)
    with contextlib.suppress(FileNotFoundError):
        mark.replace(add_suffix(prefix, STATES))
    atomic.fsync(prefix.parent)


def hard_link(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``; a copy where the file system has no links.

    Files of a set are never written in place, so sharing one between sets is safe.
    """
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())


def states_digest(states: Mapping[str, Any]) -> str:
    """Return the digest of what the JSON file of a set says, but for the digest."""
    content = {key: value for key, value in states.items() if key != DIGEST}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
