"""The errors a user can cause, one type per kind.

Messages say what is wrong, where, and what to do. The command line prints them without a traceback and exits
with ``exit_code``.
"""

from __future__ import annotations

from typing import Optional


class PpclsError(Exception):
    """Base of all errors below."""

    exit_code = 2
    # Whether every process of a distributed run raises this error, see ``ppcls.utils.distributed``.
    on_all_ranks = False

    def __str__(self) -> str:
        """Return the message; names of files in it are text even where Python takes them for ASCII."""
        text = super().__str__()
        try:
            return text.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeError:  # a name that is not valid UTF-8
            return text


class ConfigError(PpclsError, ValueError):
    """A recipe, an override or a component's argument is wrong.

    Attributes:
        message: what is wrong.
        origin: "file:line" or the override that is wrong; the error's text begins with it. None where it is not known.
    """

    def __init__(self, message: str, origin: Optional[str] = None) -> None:
        super().__init__(message if origin is None else f"{origin}: {message}")
        self.message = message
        self.origin = origin


class DataError(PpclsError):
    """A data set, list file or image is missing or broken."""


class WeightsError(PpclsError):
    """A weight file is missing, refused, or does not fit the model."""


class CheckpointError(PpclsError):
    """A checkpoint is missing, damaged, or belongs to another run."""


class TrainingError(PpclsError):
    """Training cannot go on, for example because the loss is not finite."""


class CallbackError(PpclsError):
    """A callback of the user's raised an error during a training."""


class ExportError(PpclsError):
    """A model cannot be exported, or its export does not answer as it should."""


class MachineError(PpclsError):
    """The machine lacks something: disk space, a device, an optional package."""
