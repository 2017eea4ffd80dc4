"""Errors inside other people's components while they run."""

from __future__ import annotations

import contextlib
import sys
import traceback
from pathlib import Path
from typing import Any, Iterator, Optional, Type

from ppcls.errors import ConfigError, PpclsError
from ppcls.registry import sources
from ppcls.registry.sources import Source, describe_failure
from ppcls.utils.memory import is_out_of_memory


@contextlib.contextmanager
def located_errors(component: str, source: Optional[Source], kind: Type[PpclsError] = ConfigError) -> Iterator[None]:
    """Raise errors of other people's code as ours, with the component, the file and the line.

    The original error is the cause. An error that means that memory ran out passes through: the engine explains it.

    Args:
        component: its name, and the method where that helps: "MyLoss", "MySchedule.lr_at".
        source: where it comes from; None if it is not known.
        kind: what to raise.

    Raises:
        PpclsError: of the type ``kind``.
    """
    try:
        yield
    except PpclsError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        text = f"{type(error).__name__}: {error}" if source is None else describe_failure(error, source)
        raise kind(f"{component}: {text}") from error


def source_of(component: Any) -> Optional[Source]:
    """Return the module that defines a component's class as its source; None for ours, and if it has no file."""
    module = type(component).__module__
    file = getattr(sys.modules.get(module), "__file__", None)
    if file is None or module.partition(".")[0] == "ppcls":
        return None
    return Source(module, Path(file).resolve())


def describe_if_imported(error: BaseException) -> Optional[str]:
    """Return "file:line: what went wrong" for an error that passed through an imported file; None for any other.

    It is for what runs outside of the components that ``located_errors`` guards, such as a model's ``forward``.
    """
    paths = {str(source.path) for source in sources.known.values()}
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename in paths:
            return f"{frame.filename}:{frame.lineno}: {type(error).__name__}: {error}"
    return None
