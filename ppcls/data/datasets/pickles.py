"""Pickled dicts of arrays, read without running anything that the file asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

import numpy as np

from ppcls.errors import DataError
from ppcls.utils.unpickling import DAMAGED, NUMPY, ArrayStandIn, RefusedError, RestrictedUnpickler


def read_dict(path: Path) -> Dict[bytes, Any]:
    """Return the pickled dict of plain values and uint8 arrays in a file; texts are bytes, as Python 2 wrote them.

    Raises:
        DataError: the file is missing or damaged, or asks for anything else.
    """
    try:
        with path.open("rb") as file:
            content = RestrictedUnpickler(file, NUMPY, encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError(f"holds a {type(content).__name__}, not a dict")
        return {key: _pixels(value) if isinstance(value, ArrayStandIn) else value for key, value in content.items()}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    except RefusedError as error:
        raise DataError(f"{path}: damaged, or not one of the official files: it asks for {error}") from None
    except DAMAGED as error:
        raise DataError(f"{path}: damaged, or not one of the official files: {error}") from None


def _pixels(array: ArrayStandIn) -> np.ndarray:
    if array.value.dtype != np.uint8:
        raise ValueError(f"an array of {array.value.dtype.str[1:]}, not of bytes")
    return array.value
