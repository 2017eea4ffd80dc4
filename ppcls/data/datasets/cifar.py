"""CIFAR-10 and CIFAR-100, from the official files (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Dict, List, Optional, Tuple

import numpy as np

from ppcls.data.datasets.base import DATASETS, Dataset, require_folder
from ppcls.data.datasets.folder import check_val_fraction
from ppcls.data.datasets.pickles import read_dict
from ppcls.errors import ConfigError, DataError
from ppcls.utils.files import read_regular_file
from ppcls.utils.text import read_lines

_PIXELS = 3 * 32 * 32
_MAX_LABEL = 2**31
_DOWNLOAD_PAGE = "https://www.cs.toronto.edu/~kriz/cifar.html"


@dataclass(frozen=True)
class _Layout:
    """File names and formats of a data set, which comes in a binary and in a Python layout.

    Attributes:
        folders: folder names of the binary and of the Python layout.
        files: file names by mode; those of the binary layout also end with ".bin".
        names: file names of the class names in the binary and in the Python layout.
        label_bytes: bytes before each image in the binary layout; the last one is the class id.
        keys: keys of the labels and of the class names in the Python layout.
    """

    folders: Tuple[str, str]
    files: Dict[str, List[str]]
    names: Tuple[str, str]
    label_bytes: int
    keys: Tuple[bytes, bytes]


class _Cifar(Dataset):
    """Base class: images of 32 x 32 pixels in memory. Subclasses define the layout of the files."""

    layout: ClassVar[_Layout]

    def __init__(
        self,
        image_root: str,
        mode: Optional[str] = None,
        download: bool = False,
        on_error: str = "error",
        val_fraction: Optional[float] = None,
        train: bool = True,
    ) -> None:
        check_val_fraction(val_fraction)
        if val_fraction is not None and mode not in (None, "train"):
            raise ConfigError(f"val_fraction: divides the training images, but mode is {mode!r}; leave mode out")
        mode = mode or ("train" if train or val_fraction is not None else "test")
        if mode not in self.layout.files:
            raise ConfigError(f"mode: must be 'train' or 'test', not {mode!r}")
        if download:
            raise ConfigError(
                f"download: not available; get the files from {_DOWNLOAD_PAGE} and set image_root to their folder"
            )
        root = require_folder("image_root", image_root)
        folder, binary = self._find_folder(root, self.layout.files[mode][0])
        self._files = [folder / (name + ".bin" if binary else name) for name in self.layout.files[mode]]
        parts = [(self._read_binary if binary else self._read_python)(path) for path in self._files]
        self._ends = np.cumsum([len(labels) for _, labels in parts])
        self._pixels = np.concatenate([pixels for pixels, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        self._rows = np.arange(len(labels)) if val_fraction is None else _part(labels, val_fraction, train)
        super().__init__(labels[self._rows], self._read_class_names(folder, binary), on_error)

    def _find_folder(self, root: Path, first: str) -> Tuple[Path, bool]:
        """Return the folder that contains the file ``first``, and whether it has the binary layout."""
        for folder in (root, *(root / name for name in self.layout.folders)):
            if (folder / f"{first}.bin").is_file():
                return folder, True
            if (folder / first).is_file():
                return folder, False
        raise DataError(
            f"image_root: {root}: neither {first}.bin nor {first} here, nor in {' or '.join(self.layout.folders)} "
            f"below; get the files from {_DOWNLOAD_PAGE}"
        )

    def _read_binary(self, path: Path) -> Tuple[np.ndarray, np.ndarray]:
        """Return pixels [N, 3072] and labels [N] of a file in the binary layout."""
        record = self.layout.label_bytes + _PIXELS
        data = np.frombuffer(_read(path), np.uint8)
        if not len(data) or len(data) % record:
            raise DataError(
                f"{path}: {len(data)} bytes, but a multiple of {record} is expected ({10_000 * record} for 10000 "
                f"images); unpack or download it again"
            )
        records = data.reshape(-1, record)
        return records[:, self.layout.label_bytes :], records[:, self.layout.label_bytes - 1].astype(np.int64)

    def _read_python(self, path: Path) -> Tuple[np.ndarray, np.ndarray]:
        """Return pixels [N, 3072] and labels [N] of a file in the Python layout."""
        content = read_dict(path)
        pixels, labels = content.get(b"data"), content.get(self.layout.keys[0], ())
        images = pixels if isinstance(pixels, np.ndarray) and pixels.shape[1:] == (_PIXELS,) else None
        if images is None or not _is_label_list(labels) or len(labels) != len(images):
            key = self.layout.keys[0].decode()
            raise DataError(f"{path}: does not contain images [N, {_PIXELS}] and as many {key}")
        return images, np.array(labels, dtype=np.int64)

    def _read_class_names(self, folder: Path, binary: bool) -> Optional[List[str]]:
        path = folder / self.layout.names[0 if binary else 1]
        if not path.is_file():
            return None
        if binary:
            return [text.strip() for _, text in read_lines(path) if text.strip()]
        value = read_dict(path).get(self.layout.keys[1], [])
        try:
            return [name.decode("utf-8") for name in value] or None
        except (AttributeError, TypeError, UnicodeDecodeError):
            raise DataError(f"{path}: {self.layout.keys[1].decode()} are not names; download the file again") from None

    def read(self, index: int) -> np.ndarray:
        """Return an image, [32, 32, 3] uint8 RGB."""
        return np.ascontiguousarray(self._pixels[self._rows[index]].reshape(3, 32, 32).transpose(1, 2, 0))

    def read_many(self, indices: np.ndarray) -> np.ndarray:
        """Return images, [N, 32, 32, 3] uint8 RGB."""
        return np.ascontiguousarray(self._pixels[self._rows[indices]].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))

    def describe(self, index: int) -> str:
        """Return the sample's file and its position in it, such as "data_batch_1.bin[17]"."""
        row = int(self._rows[index])
        file = int(np.searchsorted(self._ends, row, side="right"))
        start = int(self._ends[file - 1]) if file else 0
        return f"{self._files[file]}[{row - start}]"


def _part(labels: np.ndarray, val_fraction: float, train: bool) -> np.ndarray:
    """Return the positions of the images for training or for evaluation: the latter are the last ones of each class.

    Raises:
        DataError: a class has one image.
    """
    order = np.argsort(labels, kind="stable")
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise DataError(f"val_fraction: needs two images per class, and class {classes[counts.argmin()]} has one")
    held_out = np.clip(np.round(counts * val_fraction).astype(np.int64), 1, counts - 1)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    is_held_out = rank >= np.repeat(counts - held_out, counts)
    return np.sort(order[is_held_out != train])


@DATASETS.register(injected=["train"])
class Cifar10(_Cifar):
    """CIFAR-10: ten classes of 32 x 32 pixel images, in the official binary or Python files.

    Args:
        image_root: the unpacked folder ("cifar-10-batches-bin" or "cifar-10-batches-py"), or the folder it is in.
        mode: "train" or "test"; by default as the recipe's section.
        download: must be false; the files have to be downloaded by hand.
        on_error: accepted as for other data sets; images in memory are always readable.
        val_fraction: fraction of each class's training images that is held out for evaluation, the last ones of their
            files; the rest is for training, and the test images are not used. For choosing a recipe's settings.
        train: whether the section is for training.

    Raises:
        ConfigError: an argument is invalid.
        DataError: files are missing or damaged.
    """

    layout = _Layout(
        folders=("cifar-10-batches-bin", "cifar-10-batches-py"),
        files={"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]},
        names=("batches.meta.txt", "batches.meta"),
        label_bytes=1,
        keys=(b"labels", b"label_names"),
    )


@DATASETS.register(injected=["train"])
class Cifar100(_Cifar):
    """CIFAR-100: 100 fine classes of 32 x 32 pixel images, in the official binary or Python files.

    Args:
        image_root: the unpacked folder ("cifar-100-binary" or "cifar-100-python"), or the folder it is in.
        mode: "train" or "test"; by default as the recipe's section.
        download: must be false; the files have to be downloaded by hand.
        on_error: accepted as for other data sets; images in memory are always readable.
        val_fraction: fraction of each class's training images that is held out for evaluation, the last ones of their
            files; the rest is for training, and the test images are not used. For choosing a recipe's settings.
        train: whether the section is for training.

    Raises:
        ConfigError: an argument is invalid.
        DataError: files are missing or damaged.
    """

    layout = _Layout(
        folders=("cifar-100-binary", "cifar-100-python"),
        files={"train": ["train"], "test": ["test"]},
        names=("fine_label_names.txt", "meta"),
        label_bytes=2,
        keys=(b"fine_labels", b"fine_label_names"),
    )


def _is_label_list(value: Any) -> bool:
    return isinstance(value, list) and all(type(label) is int and abs(label) < _MAX_LABEL for label in value)


def _read(path: Path) -> bytes:
    try:
        return read_regular_file(path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; get it from {_DOWNLOAD_PAGE}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
