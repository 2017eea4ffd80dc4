"""Errors of pickled weight files, in the same words for all formats."""

from __future__ import annotations

import contextlib
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Iterator

from ppcls.errors import WeightsError
from ppcls.utils.unpickling import DAMAGED, RefusedError

_DAMAGED = (*DAMAGED, zipfile.BadZipFile, struct.error, zlib.error)


@contextlib.contextmanager
def file_errors(path: Path, writer: str) -> Iterator[None]:
    """Raise what the block raises as errors of the file.

    Args:
        path: the file that the block reads.
        writer: the function that writes such files, "paddle.save".

    Raises:
        WeightsError: the file is missing, cannot be read, is damaged, or asks to run something.
    """
    try:
        yield
    except RefusedError as refused:
        raise WeightsError(
            f"{path}: refused, because it asks for {refused}, which weights do not need; nothing was run. "
            "Do not trust this file"
        ) from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror or error}") from None
    except _DAMAGED as error:
        raise WeightsError(
            f"{path}: damaged, or not a file of {writer} ({type(error).__name__}: {error}); "
            f"it has {path.stat().st_size} bytes. Copy or download it again"
        ) from None
