"""Checks before a runtime runs a model: wrong files or inputs abort the process in some, or give nonsense."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterable, Sequence

import numpy as np

from ppcls.errors import DataError
from ppcls.inference.description import PIXELS, Description
from ppcls.utils.digests import sha256


def check_files(description: Description, names: Iterable[str]) -> None:
    """Compare files with the digests taken when they were written.

    Raises:
        DataError: a file is missing, or is not the one that was exported.
    """
    for name in names:
        path = description.folder / name
        if not path.is_file():
            raise DataError(f"{path}: missing; export the model again")
        if sha256(path) != description.files[name]:
            raise DataError(f"{path}: damaged, or not the file that was exported; export the model again")


def check_input(description: Description, path: Path, shape: Sequence[Any]) -> None:
    """Compare the input of a model with the one that its description promises; a size that is no number is free.

    Raises:
        DataError: images of the described size do not fit.
    """
    expected = list(description.input_shape)
    actual = list(shape[1:])
    fits = len(actual) == len(expected) and all(
        size == expected_size for size, expected_size in zip(actual, expected) if isinstance(size, int)
    )
    if not fits:
        raise DataError(
            f"{path}: takes images of the shape {actual}, and its description (image_shape) makes them {expected}; "
            f"export the model again"
        )


def checked_batch(description: Description, batch: np.ndarray) -> np.ndarray:
    """Return a batch as the model takes it, contiguous in memory.

    Raises:
        DataError: it has another shape or type.
    """
    dtype = np.dtype(np.uint8 if description.input == PIXELS else np.float32)
    shape = ["B", *description.input_shape]
    if batch.ndim != len(shape) or batch.shape[1:] != description.input_shape or batch.dtype != dtype:
        raise DataError(
            f"{description.name} takes a batch of shape [{', '.join(map(str, shape))}] and type {dtype}, "
            f"not {list(batch.shape)} and {batch.dtype}"
        )
    return np.ascontiguousarray(batch)


def checked_output(description: Description, output: Any) -> np.ndarray:
    """Return what a model answered.

    Raises:
        DataError: it is not one probability for each class of the description.
    """
    probabilities = np.asarray(output)
    if probabilities.ndim != 2 or probabilities.shape[1] != description.class_num:
        raise DataError(
            f"{description.folder}: the model of {description.name} answers {list(probabilities.shape)}, and its "
            f"description has {description.class_num} classes; export the model again"
        )
    return probabilities
