"""Data sets of the user's own: anything that has a length and gives (image, label) by index."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Union

import numpy as np

from ppcls.data.datasets.base import DATASETS, Dataset, read_regular_file
from ppcls.data.transforms.conversion import is_pillow, rgb_from_array, rgb_from_pillow
from ppcls.errors import ConfigError, DataError, PpclsError
from ppcls.utils.paths import user_path

# What recipes call data that Python code gave.
SUPPLIED_DATASET = "SuppliedDataset"


class ItemDataset(Dataset):
    """Makes a data set of an object with ``__len__`` and ``__getitem__(index) -> (image, label)``.

    An image is a uint8 array (RGB [H, W, 3], RGBA or grayscale), a Pillow image, the bytes of an image file, or the
    path of one. A label is a class id or, if the object has ``class_names``, a class name. The object may also have
    ``on_error``, which means what that of ``Dataset`` does.

    The labels are read once, at the beginning, and the images with them. If the object has ``labels`` (one class id or
    name per sample), they are taken from there and no item is read before training.

    Args:
        items: the object.
        name: what messages call it.

    Raises:
        ConfigError: it lacks a method, or has names or labels that make no sense.
        DataError: it is empty, or an item is no (image, label).
    """

    def __init__(self, items: Any, name: str) -> None:
        lacking = [method for method in ("__len__", "__getitem__") if not hasattr(items, method)]
        if lacking or isinstance(items, (str, bytes, type)):
            raise ConfigError(
                f"{name}: a data set has __len__ and __getitem__(index) -> (image, label), and {_type_of(items)} does "
                f"not; for arrays: list(zip(images, labels))"
            )
        self._items = items
        self._name = name
        self._content = b""  # digest of what identifies the images
        names = _class_names(items, name)
        self._ids: Dict[str, int] = {} if names is None else {text: index for index, text in enumerate(names)}
        # Whether all images are arrays of one shape, which can be read many at once.
        self._stackable = False
        super().__init__(self._read_labels(), names, getattr(items, "on_error", "error"))

    def _read_labels(self) -> np.ndarray:
        try:
            count = len(self._items)
        except Exception as error:
            raise DataError(f"{self._name}: its len() fails: {type(error).__name__}: {error}") from error
        if not count:
            raise DataError(f"{self._name}: is empty")
        given = getattr(self._items, "labels", None)
        if given is None:
            return self._read_items(count)
        labels = list(given) if hasattr(given, "__iter__") and not callable(given) else []
        if len(labels) != count:
            raise ConfigError(f"{self._name}: its attribute labels must have one label for each of its {count} samples")
        return np.array([self._class_id(index, label) for index, label in enumerate(labels)], np.int64)

    def _read_items(self, count: int) -> np.ndarray:
        """Return the labels, and note what identifies the images."""
        labels, shapes, content = np.empty(count, np.int64), set(), hashlib.sha256()
        for index in range(count):
            image, label = self._item(index)
            labels[index] = self._class_id(index, label)
            shapes.add(image.shape if isinstance(image, np.ndarray) and image.ndim == 3 else None)
            content.update(self._identity_of(index, image))
        self._content = content.digest()
        self._stackable = len(shapes) == 1 and None not in shapes
        return labels

    def _identity_of(self, index: int, image: Any) -> bytes:
        """Return what tells an image from others: the name of a file, or else the content."""
        if isinstance(image, (str, os.PathLike)):
            return Path(image).name.encode("utf-8", "surrogateescape") + b"\0"
        content = self._converted(index, image)
        return hashlib.sha256(content if isinstance(content, bytes) else content.tobytes()).digest()

    def _item(self, index: int) -> Any:
        try:
            item = self._items[index]
        except PpclsError:
            raise
        except Exception as error:
            raise DataError(f"{self.describe(index)}: {type(error).__name__}: {error}") from error
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            what = f"{len(item)} values" if isinstance(item, (tuple, list)) else _type_of(item)
            raise DataError(f"{self.describe(index)}: must be (image, label), not {what}")
        return item

    def _class_id(self, index: int, label: Any) -> int:
        if isinstance(label, str):
            if label not in self._ids:
                known = f"one of its {len(self._ids)} class_names" if self._ids else "known: it has no class_names"
                raise ConfigError(f"{self.describe(index)}: the label {label!r} is not {known}")
            return self._ids[label]
        array = np.asarray(label)
        if array.dtype.kind not in "iu" or array.size != 1:
            raise ConfigError(
                f"{self.describe(index)}: a label is a class id (a whole number) or a class name, not {label!r:.60}"
            )
        return int(array.reshape(()))

    def _converted(self, index: int, image: Any) -> Union[bytes, np.ndarray]:
        """Return an image that is no path as bytes or RGB."""
        if isinstance(image, np.ndarray):
            try:
                return rgb_from_array(image)
            except DataError as error:
                raise DataError(f"{self.describe(index)}: {error}") from None
        if is_pillow(image):
            return rgb_from_pillow(image)
        if isinstance(image, (bytes, bytearray, memoryview)):
            return bytes(image)
        raise DataError(
            f"{self.describe(index)}: an image is a uint8 array [H, W, 3] in RGB, a Pillow image, the path of a file "
            f"or its bytes, not {_type_of(image)}"
        )

    def read(self, index: int) -> Union[bytes, np.ndarray]:
        """Return a sample's encoded file, or its pixels [H, W, 3] uint8 RGB.

        Raises:
            DataError: it cannot be read.
        """
        image = self._item(index)[0]
        if not isinstance(image, (str, os.PathLike)):
            return self._converted(index, image)
        try:
            return read_regular_file(user_path(image))
        except OSError as error:
            raise DataError(f"{os.fspath(image)}: {error.strerror}") from None

    def read_many(self, indices: np.ndarray) -> Optional[np.ndarray]:
        """Return the pixels of several samples, [N, H, W, 3] uint8 RGB, where all are arrays of one shape."""
        if not self._stackable:
            return None
        images = [self._converted(index, self._item(index)[0]) for index in indices.tolist()]
        return np.stack(images) if len({np.shape(image) for image in images}) == 1 else None

    def describe(self, index: int) -> str:
        """Return where a sample is, for messages."""
        return f"{self._name}[{index}]"

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield self._content


def _class_names(items: Any, name: str) -> Optional[List[str]]:
    given = getattr(items, "class_names", None)
    if given is None:
        return None
    names = list(given)
    if not names or not all(isinstance(item, str) for item in names) or len(set(names)) < len(names):
        raise ConfigError(f"{name}: class_names must be different texts, by class id, not {names!r:.80}")
    return names


def _type_of(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__


@DATASETS.register(listed=False)
class SuppliedDataset:
    """Stands in recipes for a data set that Python code gave to ``ppcls.train``; nothing can be read from it.

    Raises:
        DataError: always: the data are not here.
    """

    def __init__(self) -> None:
        raise DataError(
            "dataset.name: the data of this run were given in Python, to ppcls.train(train_dataset=..., "
            "eval_dataset=...); give them again, or name a data set of files"
        )
