"""Data sets of the user's own: anything that has a length and gives (image, label) by index."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Union

import numpy as np

from ppcls.data.datasets.base import Dataset, read_regular_file
from ppcls.errors import ConfigError, DataError


class ItemDataset(Dataset):
    """Makes a data set of an object with ``__len__`` and ``__getitem__(index) -> (image, label)``.

    An image is an array [H, W, 3] uint8 RGB, the bytes of an image file, or the path of one. If the object has
    ``labels`` (one integer per sample), its items are not read to learn them. Its ``class_names`` and ``on_error`` mean
    what those of ``Dataset`` do.

    Args:
        items: the object.
        name: what messages call it.

    Raises:
        ConfigError: it lacks a method, or a label is no integer.
    """

    def __init__(self, items: Any, name: str) -> None:
        lacking = [method for method in ("__len__", "__getitem__") if not hasattr(items, method)]
        if lacking:
            raise ConfigError(f"a data set needs {' and '.join(lacking)}, which {type(items).__name__} does not have")
        self._items = items
        self._name = name
        given = getattr(items, "labels", None)
        labels = np.asarray([self._item(index)[1] for index in range(len(items))] if given is None else given)
        if labels.dtype.kind not in "iu" or labels.shape != (len(items),):
            raise ConfigError(
                f"{name}: labels must be integers, one per sample ([{len(items)}]), not {labels.dtype} of shape "
                f"{list(labels.shape)}"
            )
        names = getattr(items, "class_names", None)
        class_names = None if names is None else [str(item) for item in names]
        super().__init__(labels.astype(np.int64), class_names, getattr(items, "on_error", "error"))

    def _item(self, index: int) -> Any:
        item = self._items[index]
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise ConfigError(f"{self._name}[{index}]: must be (image, label), not {type(item).__name__}")
        return item

    def read(self, index: int) -> Union[bytes, np.ndarray]:
        """Return a sample's encoded file, or its pixels [H, W, 3] uint8 RGB.

        Raises:
            DataError: its file cannot be read.
        """
        image = self._item(index)[0]
        if isinstance(image, (str, Path)):
            try:
                return read_regular_file(Path(image))
            except OSError as error:
                raise DataError(f"{image}: {error.strerror}") from None
        return image if isinstance(image, bytes) else np.asarray(image)

    def describe(self, index: int) -> str:
        """Return where a sample is, for messages."""
        return f"{self._name}[{index}]"
