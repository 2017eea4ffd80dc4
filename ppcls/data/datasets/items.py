"""Users' data sets: any object that has a length and gives (image, label) by index."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Union

import numpy as np

from ppcls.data.datasets.base import DATASETS, Dataset
from ppcls.data.transforms.conversion import is_pillow, pixels_from_array, pixels_from_pillow, to_channels
from ppcls.errors import ConfigError, DataError, PpclsError
from ppcls.registry import Source
from ppcls.registry.failures import located_errors, source_of
from ppcls.registry.sources import describe_failure
from ppcls.utils.files import read_regular_file
from ppcls.utils.paths import user_path

# The name in recipes of a data set that was passed in Python.
SUPPLIED_DATASET = "SuppliedDataset"


class ItemDataset(Dataset):
    """Adapts a user's data set: an object with ``__len__`` and ``__getitem__(index) -> (image, label)``.

    An image is a uint8 array (RGB [H, W, 3], RGBA or grayscale), a Pillow image, the bytes of an image file, or the
    path of one. A label is a class id or, if the object has ``class_names``, a class name. The object may also have
    ``on_error``; see ``Dataset``.

    All items are read once at the beginning for their labels. If the object has ``labels`` (one class id or name per
    sample), these are used instead, and no item is read before training.

    Args:
        items: the object.
        name: for messages.
        source: where its code comes from; by default the module of its class.

    Raises:
        ConfigError: it lacks a method, or its names or labels are invalid.
        DataError: it is empty, fails, or an item is not (image, label).
    """

    def __init__(self, items: Any, name: str, source: Optional[Source] = None) -> None:
        lacking = [method for method in ("__len__", "__getitem__") if not hasattr(items, method)]
        if lacking or isinstance(items, (str, bytes, type)):
            raise ConfigError(
                f"{name}: a data set has __len__ and __getitem__(index) -> (image, label), and {_type_of(items)} does "
                f"not; for arrays: list(zip(images, labels))"
            )
        self._items = items
        self._name = name
        self._source = source or source_of(items)
        self._content = b""  # digest of what identifies the images
        names = _class_names(items, name)
        self._ids: Dict[str, int] = {} if names is None else {text: index for index, text in enumerate(names)}
        # Whether all images are arrays of one shape, so that many can be read at once.
        self._stackable = False
        super().__init__(self._read_labels(), names, getattr(items, "on_error", "error"))

    def _read_labels(self) -> np.ndarray:
        with located_errors(f"{self._name}: its len() fails", self._source, DataError):
            count = len(self._items)
        if not count:
            raise DataError(f"{self._name}: is empty")
        attribute = getattr(self._items, "labels", None)
        if attribute is None:
            return self._read_items(count)
        labels = list(attribute) if hasattr(attribute, "__iter__") and not callable(attribute) else []
        if len(labels) != count:
            raise ConfigError(f"{self._name}: its attribute labels must have one label for each of its {count} samples")
        return np.array([self._class_id(index, label) for index, label in enumerate(labels)], np.int64)

    def _read_items(self, count: int) -> np.ndarray:
        """Return the labels, and record a digest of the images."""
        labels, shapes, content = np.empty(count, np.int64), set(), hashlib.sha256()
        for index in range(count):
            try:
                image, label = self._item(index)
                content.update(self._identity_of(image))
            except DataError as error:
                raise DataError(f"{self.describe(index)}: {error}") from error.__cause__
            labels[index] = self._class_id(index, label)
            shapes.add(image.shape if isinstance(image, np.ndarray) and image.ndim == 3 else None)
        self._content = content.digest()
        self._stackable = len(shapes) == 1 and None not in shapes
        return labels

    def _identity_of(self, image: Any) -> bytes:
        """Return what identifies an image: the name of its file, or else its content."""
        if isinstance(image, (str, os.PathLike)):
            return Path(image).name.encode("utf-8", "surrogateescape") + b"\0"
        content = self._to_pixels_or_bytes(image)
        if isinstance(content, np.ndarray) and content.ndim == 3:  # as RGB, which checkpoints remember
            content = to_channels(content, 3)
        return hashlib.sha256(content if isinstance(content, bytes) else content.tobytes()).digest()

    def _item(self, index: int) -> Any:
        try:
            item = self._items[index]
        except PpclsError:
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}" if self._source is None else describe_failure(error, self._source)
            raise DataError(text) from error
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            what = f"{len(item)} values" if isinstance(item, (tuple, list)) else _type_of(item)
            raise DataError(f"must be (image, label), not {what}")
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
                f"{'; several classes per image are read from files by MultiLabelDataset' * (array.size > 1)}"
            )
        return int(array.reshape(()))

    def _to_pixels_or_bytes(self, image: Any) -> Union[bytes, np.ndarray]:
        """Return an image that is not a path as pixels, or as the bytes of its file."""
        if isinstance(image, np.ndarray):
            return pixels_from_array(image)
        if is_pillow(image):
            return pixels_from_pillow(image)
        if isinstance(image, (bytes, bytearray, memoryview)):
            return bytes(image)
        raise DataError(
            f"an image is a uint8 array (RGB [H, W, 3], RGBA [H, W, 4] or grayscale [H, W]), a Pillow image, the path "
            f"of a file or its bytes, not {_type_of(image)}"
        )

    def read(self, index: int) -> Union[bytes, np.ndarray]:
        """Return a sample's encoded file, or its pixels [H, W, C] uint8: RGB or RGBA.

        Raises:
            DataError: it cannot be read.
        """
        image = self._item(index)[0]
        if not isinstance(image, (str, os.PathLike)):
            return self._to_pixels_or_bytes(image)
        try:
            return read_regular_file(user_path(image))
        except OSError as error:
            raise DataError(f"{os.fspath(image)}: {error.strerror}") from None

    def read_many(self, indices: np.ndarray) -> Optional[np.ndarray]:
        """Return the pixels of several samples, [N, H, W, C] uint8, where all are arrays of one shape."""
        if not self._stackable:
            return None
        images = [self._to_pixels_or_bytes(self._item(index)[0]) for index in indices.tolist()]
        return np.stack(images) if len({np.shape(image) for image in images}) == 1 else None

    def describe(self, index: int) -> str:
        """Return where a sample is, for messages."""
        return f"{self._name}[{index}]"

    def _identity(self) -> Iterator[bytes]:
        yield from super()._identity()
        yield self._content


def _class_names(items: Any, name: str) -> Optional[List[str]]:
    attribute = getattr(items, "class_names", None)
    if attribute is None:
        return None
    names = list(attribute)
    if not names or not all(isinstance(item, str) for item in names) or len(set(names)) < len(names):
        raise ConfigError(f"{name}: class_names must be different texts, by class id, not {names!r:.80}")
    return names


def _type_of(value: Any) -> str:
    return value.__name__ if isinstance(value, type) else type(value).__name__


@DATASETS.register(listed=False)
class SuppliedDataset:
    """Stands in recipes for a data set that was passed to ``ppcls.train``; nothing can be read from it.

    Raises:
        DataError: always, because the data are not stored.
    """

    def __init__(self) -> None:
        raise DataError(
            "dataset.name: the data of this run were given in Python, to ppcls.train(train_dataset=..., "
            "eval_dataset=...); give them again, or name a data set of files"
        )
