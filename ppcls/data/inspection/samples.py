"""A few images of a data set as they are, in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping

import numpy as np

from ppcls.data.build import build_dataset
from ppcls.data.datasets import Dataset
from ppcls.data.inspection.contact_sheets import contact_sheet, write_picture
from ppcls.data.inspection.scanning import read_reduced
from ppcls.errors import ConfigError, DataError

_SIDE = 224  # pixels


def draw_samples(section: Mapping[str, Any], target: Path, count: int) -> int:
    """Draw images, spread evenly over a data set, with their classes into a picture file; return how many.

    Args:
        section: the ``dataset`` section of a recipe, without transforms.
        target: the file.
        count: images, at most.

    Raises:
        ConfigError: fewer than one image is asked for.
        DataError: an image is broken.
        MachineError: the picture cannot be written.
    """
    if count < 1:
        raise ConfigError(f"-n: expected at least 1, got {count}")
    dataset = build_dataset(section, train=True)
    indices = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(int).tolist()
    names = dataset.class_names or []
    labels = [dataset.classes(index) for index in indices]
    texts = ["\n".join(names[i] if i < len(names) else str(i) for i in classes) or "no class" for classes in labels]
    write_picture(contact_sheet([_read(dataset, index) for index in indices], texts), target)
    return len(indices)


def _read(dataset: Dataset, index: int) -> np.ndarray:
    try:
        return read_reduced(dataset, index, _SIDE)
    except DataError as error:
        raise DataError(f"{dataset.describe(index)}: {error}; `ppcls check` finds all such images") from None
