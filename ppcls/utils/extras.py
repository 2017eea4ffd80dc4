"""Packages that only some commands need, and how to install them."""

from __future__ import annotations

from typing import Optional

from ppcls.errors import MachineError


def install_command(extra: str) -> str:
    """Return how to install an extra of this package.

    Always from the clone: a package of that name on the Python Package Index would be somebody else's.
    """
    return f'pip install ".[{extra}]" in the clone of this repository'


def missing_extra(extra: str, package: str, purpose: str, reason: Optional[ImportError] = None) -> MachineError:
    """Return the error to raise where a package of an extra cannot be imported.

    Args:
        extra: as ``pyproject.toml`` names it.
        package: the one that cannot be imported.
        purpose: what needs it, the beginning of the message.
        reason: the error of the import, where the package may be installed and broken.
    """
    problem = f"{package}, which is not installed" if reason is None else f"{package} ({reason})"
    return MachineError(f"{purpose} needs {problem}: {install_command(extra)}")
