"""Which sample goes to which shard, decided before anything is written."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from ppcls.data.datasets import ImageFolder, ImageNetDataset
from ppcls.data.datasets.base import FileDataset
from ppcls.errors import ConfigError
from ppcls.utils.logging import get_logger
from ppcls.utils.opencv import cv2

_PREFIX = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_STEM = 60
_SIDES = ("train", "training", "val", "valid", "validation", "eval", "test", "testing")  # folders, not classes
_OVERHEAD = 512 + 511 + 1024  # bytes of a sample's headers, label and padding, at most


@dataclass(frozen=True)
class Settings:
    """What the bytes of the shards depend on, next to the images.

    Attributes:
        source: folder of class folders; with a list, of the images.
        list_file: lines ``path label``; None takes the class folders.
        delimiter: between path and label; None for any white space.
        prefix: of the shards' names.
        shard_bytes: size that a shard of several samples does not exceed (by the sizes of the files, before they are
            resized); None where ``shard_samples`` counts.
        shard_samples: samples a shard.
        seed: of the order; None keeps that of the source.
        resize_short: pixels to which the shorter side of larger images is reduced; None copies all files.
        quality: of the JPEGs that are written then, 1 to 100.

    Raises:
        ConfigError: a value makes no sense.
    """

    source: str
    list_file: Optional[str] = None
    delimiter: Optional[str] = None
    prefix: str = "train"
    shard_bytes: Optional[int] = None
    shard_samples: Optional[int] = None
    seed: Optional[int] = 0
    resize_short: Optional[int] = None
    quality: Optional[int] = None

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigError(f"--prefix: must be of letters, digits, '_', '-' and '.', not {self.prefix!r}")
        if self.delimiter is not None and self.list_file is None:
            raise ConfigError("--delimiter: is of a --list, and none is given")
        if (self.shard_bytes is None) == (self.shard_samples is None):
            raise ConfigError("--shard-size or --shard-samples: exactly one of them must be given")
        if (self.resize_short is None) != (self.quality is None):
            raise ConfigError("--quality: is of the JPEGs that --resize-short writes; give both or neither")
        for name, value in (("size", self.shard_bytes), ("samples", self.shard_samples)):
            if value is not None and value < 1:
                raise ConfigError(f"--shard-{name}: must be from 1 up, not {value}")
        if self.resize_short is not None and self.resize_short < 1:
            raise ConfigError(f"--resize-short: must be from 1 pixel up, not {self.resize_short}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality: must be in 1..100, not {self.quality}")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"--seed: must be from 0 up, not {self.seed}")

    def plain(self) -> Dict[str, Any]:
        """Return the settings for ``pack.json``; of resized images OpenCV's version is one of them."""
        return {**dataclasses.asdict(self), "opencv": cv2.__version__ if self.resize_short is not None else None}


class Plan:
    """The samples of every shard.

    Args:
        settings: as above.
        starts: places of the shards' first samples, of an earlier run; None has them computed.

    Attributes:
        dataset: the source.
        starts: places in the order at which shards begin, and the end.
        digest: of the paths and labels in their order.

    Raises:
        DataError: the source is missing or malformed.
    """

    def __init__(self, settings: Settings, starts: Optional[List[int]] = None) -> None:
        self.settings = settings
        self.dataset = _open(settings)
        count = len(self.dataset)
        self._order = np.arange(count)
        if settings.seed is not None:
            np.random.default_rng(settings.seed).shuffle(self._order)
        lines = (f"{self.dataset.describe(index)}\t{self.dataset.label(index)}\n" for index in range(count))
        self.digest = _digest(lines)
        self.starts = starts or self._cut()

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self.starts) - 1

    def name(self, shard: int) -> str:
        """Return a shard's file name."""
        return f"{self.settings.prefix}-{shard:06d}.tar"

    def samples(self, shard: int) -> List[int]:
        """Return a shard's sample numbers."""
        return [int(index) for index in self._order[self.starts[shard] : self.starts[shard + 1]]]

    def keys(self, shard: int) -> List[str]:
        """Return the keys of a shard's samples: the place in the order, and what can be read of the file's name."""
        width = max(6, len(str(len(self._order))))
        stems = (Path(self.dataset.describe(index)).stem for index in self.samples(shard))
        safe = (_UNSAFE.sub("_", stem)[:_LONGEST_STEM] for stem in stems)
        return [f"{place:0{width}d}_{stem}" for place, stem in enumerate(safe, self.starts[shard])]

    def source_digest(self, shard: int) -> str:
        """Return a digest that changes with the files of a shard, without reading them."""
        lines = []
        for index in self.samples(shard):
            path = Path(self.dataset.describe(index))
            try:
                state = path.stat()
                lines.append(f"{path}\t{self.dataset.label(index)}\t{state.st_size}\t{state.st_mtime_ns}\n")
            except OSError:
                lines.append(f"{path}\t{self.dataset.label(index)}\tmissing\n")
        return _digest(lines)

    def _cut(self) -> List[int]:
        count = len(self._order)
        if self.settings.shard_samples is not None:
            return [*range(0, count, self.settings.shard_samples), count]
        assert self.settings.shard_bytes is not None
        starts, filled = [0], 0
        for place, index in enumerate(self._order):
            size = _size(Path(self.dataset.describe(int(index)))) + _OVERHEAD
            if filled + size > self.settings.shard_bytes and place > starts[-1]:
                starts.append(place)
                filled = 0
            filled += size
        return [*starts, count]


def _open(settings: Settings) -> FileDataset:
    if settings.list_file is None:
        dataset = ImageFolder(settings.source)
        _check_classes(dataset, Path(settings.source))
        return dataset
    # Missing files are reported with all other broken images.
    return ImageNetDataset(settings.source, settings.list_file, settings.delimiter, on_error="skip")


def _check_classes(dataset: ImageFolder, source: Path) -> None:
    """Check that a source's folders are classes, as far as their names and depth tell.

    Raises:
        ConfigError: they are the sides of a data set.
    """
    class_names = dataset.class_names or []
    sides = [name for name in class_names if name.lower() in _SIDES]
    if len(sides) > 1 or sides == class_names:
        raise ConfigError(
            f"{source}: its folders would be the classes, and {', '.join(sides)} are the sides of a data set; give one "
            f"of them ({source / sides[0]}), or a --list"
        )
    depth = len(source.parts) + 2
    if all(len(Path(dataset.describe(index)).parts) > depth for index in range(len(dataset))):
        get_logger().warning(
            "%s: the classes are its %d folders (%s), and none of them holds images itself, only folders that do; if "
            "those are the classes, give another source or a --list",
            *(source, len(class_names), ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else "")),
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reported when it is read


def _digest(lines: Any) -> str:
    sha = hashlib.sha256()
    for line in lines:
        sha.update(line.encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def differing(before: Dict[str, Any], now: Dict[str, Any]) -> List[str]:
    """Return what differs between the settings of two runs, as options for a message."""
    pairs = list(zip(_options(before), _options(now)))
    if before["resize_short"] is not None and now["resize_short"] is not None:  # else the pixels are the files' own
        pairs.append((f"OpenCV {before['opencv']}", f"OpenCV {now['opencv']}"))
    return [f"{then} then, {today} now" for then, today in pairs if then != today]


def _options(settings: Dict[str, Any]) -> List[str]:
    """Return settings as one would type them, each at its place."""
    size, resize, seed = settings["shard_bytes"], settings["resize_short"], settings["seed"]
    return [
        f"SOURCE {settings['source']}",
        "no --list" if settings["list_file"] is None else f"--list {settings['list_file']}",
        "no --delimiter" if settings["delimiter"] is None else f"--delimiter {settings['delimiter']!r}",
        f"--shard-samples {settings['shard_samples']}" if size is None else f"--shard-size {_size_text(size)}",
        "--no-shuffle" if seed is None else f"--seed {seed}",
        "no --resize-short" if resize is None else f"--resize-short {resize} --quality {settings['quality']}",
    ]


def _size_text(size: int) -> str:
    for unit, power in (("G", 30), ("M", 20), ("K", 10)):
        if size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)
