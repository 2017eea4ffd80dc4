"""Folders that results are written to."""

from __future__ import annotations

from pathlib import Path

from ppcls.errors import MachineError


def ensure_writable(folder: Path, name: str, advice: str) -> None:
    """Make a folder and prove that files can be written there.

    Args:
        name: what the user calls the folder, the beginning of the message ("Global.output_dir=output").
        advice: what to do about it.

    Raises:
        MachineError: files cannot be written there.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"x")
        finally:  # on a full disk an empty file is left
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise MachineError(f"{name}: cannot be written to: {error.strerror}; {advice}") from None
