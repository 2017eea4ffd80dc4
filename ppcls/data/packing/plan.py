"""Plan the shards: which sample goes into which one. This is decided before anything is written."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional

import numpy as np

from ppcls.data.datasets import ImageFolder, ImageNetDataset
from ppcls.data.datasets.base import FileDataset
from ppcls.errors import ConfigError
from ppcls.utils.logging import get_logger
from ppcls.utils.opencv import cv2

_PREFIX = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_STEM = 60
_OVERHEAD = 512 + 511 + 1024  # largest number of bytes for a sample's headers, label and padding


@dataclass(frozen=True)
class PackOptions:
    """The options on which the content of the shards depends.

    Attributes:
        source: folder with one folder per class, or the folder of the listed images.
        list_file: list with lines ``path label``; None for class folders.
        delimiter: separates path and label; None for any white space.
        prefix: beginning of the shards' names.
        shard_bytes: largest size of a shard, by the sizes of the files before resizing. A single larger sample is
            allowed. None if ``shard_samples`` is given.
        shard_samples: number of samples per shard.
        seed: seed of the sample order; None keeps the order of the source.
        resize_short: reduce larger images to this shorter side, in pixels; None copies all files.
        quality: JPEG quality of reduced images, 1 to 100.

    Raises:
        ConfigError: an option is invalid.
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
            raise ConfigError(f"--prefix: must consist of letters, digits, '_', '-' and '.', not {self.prefix!r}")
        if self.delimiter is not None and self.list_file is None:
            raise ConfigError("--delimiter: needs a --list")
        if (self.shard_bytes is None) == (self.shard_samples is None):
            raise ConfigError("--shard-size or --shard-samples: exactly one of them must be given")
        if (self.resize_short is None) != (self.quality is None):
            raise ConfigError("--quality: applies to the JPEGs that --resize-short writes; give both or neither")
        for name, value in (("size", self.shard_bytes), ("samples", self.shard_samples)):
            if value is not None and value < 1:
                raise ConfigError(f"--shard-{name}: must be at least 1, not {value}")
        if self.resize_short is not None and self.resize_short < 1:
            raise ConfigError(f"--resize-short: must be at least 1 pixel, not {self.resize_short}")
        if self.quality is not None and not 1 <= self.quality <= 100:
            raise ConfigError(f"--quality: must be from 1 to 100, not {self.quality}")
        if self.seed is not None and self.seed < 0:
            raise ConfigError(f"--seed: must be at least 0, not {self.seed}")

    def to_dict(self) -> Dict[str, Any]:
        """Return the options as in ``pack.json``, with OpenCV's version, which matters if images are resized."""
        return {**dataclasses.asdict(self), "opencv": cv2.__version__ if self.resize_short is not None else None}


class ShardPlan:
    """The samples of each shard.

    Args:
        options: what to pack and how.
        starts: first position of each shard in an earlier run; None computes them.

    Attributes:
        dataset: the source.
        starts: position of each shard's first sample in the packing order, then the number of samples.
        digest: digest of the source's paths and labels, in order.

    Raises:
        DataError: the source is missing or malformed.
    """

    def __init__(self, options: PackOptions, starts: Optional[List[int]] = None) -> None:
        self.options = options
        self.dataset = _open_source(options)
        count = len(self.dataset)
        self._order = np.arange(count)
        if options.seed is not None:
            np.random.default_rng(options.seed).shuffle(self._order)
        lines = (f"{self.dataset.describe(index)}\t{self.dataset.label(index)}\n" for index in range(count))
        self.digest = _digest(lines)
        self.starts = starts or self._compute_starts()

    def __len__(self) -> int:
        """Return the number of shards."""
        return len(self.starts) - 1

    def name(self, shard: int) -> str:
        """Return a shard's file name."""
        return f"{self.options.prefix}-{shard:06d}.tar"

    def samples(self, shard: int) -> List[int]:
        """Return the indices of a shard's samples."""
        return [int(index) for index in self._order[self.starts[shard] : self.starts[shard + 1]]]

    def keys(self, shard: int) -> List[str]:
        """Return the keys of a shard's samples: the position in the packing order, and the file name made safe."""
        width = max(6, len(str(len(self._order))))
        stems = (Path(self.dataset.describe(index)).stem for index in self.samples(shard))
        safe = (_UNSAFE.sub("_", stem)[:_LONGEST_STEM] for stem in stems)
        return [f"{position:0{width}d}_{stem}" for position, stem in enumerate(safe, self.starts[shard])]

    def source_digest(self, shard: int) -> str:
        """Return a digest that changes when the files of a shard change. It uses their sizes and times only."""
        lines = []
        for index in self.samples(shard):
            path = Path(self.dataset.describe(index))
            try:
                state = path.stat()
                lines.append(f"{path}\t{self.dataset.label(index)}\t{state.st_size}\t{state.st_mtime_ns}\n")
            except OSError:
                lines.append(f"{path}\t{self.dataset.label(index)}\tmissing\n")
        return _digest(lines)

    def _compute_starts(self) -> List[int]:
        count = len(self._order)
        if self.options.shard_samples is not None:
            return [*range(0, count, self.options.shard_samples), count]
        assert self.options.shard_bytes is not None
        starts, shard_size = [0], 0
        for position, index in enumerate(self._order):
            size = _file_size(Path(self.dataset.describe(int(index)))) + _OVERHEAD
            if shard_size + size > self.options.shard_bytes and position > starts[-1]:
                starts.append(position)
                shard_size = 0
            shard_size += size
        return [*starts, count]


def _open_source(options: PackOptions) -> FileDataset:
    if options.list_file is None:
        dataset = ImageFolder(options.source)
        _warn_of_deep_folders(dataset, Path(options.source))
        return dataset
    # Missing files are reported together with all other broken images.
    return ImageNetDataset(options.source, options.list_file, options.delimiter, on_error="skip")


def _warn_of_deep_folders(dataset: ImageFolder, source: Path) -> None:
    """Warn if no folder holds images itself: the classes may be the folders below."""
    class_names = dataset.class_names or []
    depth = len(source.parts) + 2
    if all(len(Path(dataset.describe(index)).parts) > depth for index in range(len(dataset))):
        get_logger().warning(
            "%s: the classes are its %d folders (%s), and none of them holds images itself, only folders that do; if "
            "those are the classes, give another source or a --list",
            source,
            len(class_names),
            ", ".join(class_names[:5]) + (", ..." if len(class_names) > 5 else ""),
        )


def _file_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reported when the file is read


def _digest(lines: Iterable[str]) -> str:
    sha = hashlib.sha256()
    for line in lines:
        sha.update(line.encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def changed_options(before: Dict[str, Any], now: Dict[str, Any]) -> List[str]:
    """Return the differences between the options of two runs, for a message."""
    pairs = list(zip(_command_line(before), _command_line(now)))
    if before["resize_short"] is not None and now["resize_short"] is not None:  # otherwise files are copied
        pairs.append((f"OpenCV {before['opencv']}", f"OpenCV {now['opencv']}"))
    return [f"{old} then, {new} now" for old, new in pairs if old != new]


def _command_line(options: Dict[str, Any]) -> List[str]:
    """Return the options as on the command line, always in the same order."""
    size, resize, seed = options["shard_bytes"], options["resize_short"], options["seed"]
    return [
        f"SOURCE {options['source']}",
        "no --list" if options["list_file"] is None else f"--list {options['list_file']}",
        "no --delimiter" if options["delimiter"] is None else f"--delimiter {options['delimiter']!r}",
        f"--shard-samples {options['shard_samples']}" if size is None else f"--shard-size {_format_size(size)}",
        "--no-shuffle" if seed is None else f"--seed {seed}",
        "no --resize-short" if resize is None else f"--resize-short {resize} --quality {options['quality']}",
    ]


def _format_size(size: int) -> str:
    for unit, power in (("G", 30), ("M", 20), ("K", 10)):
        if size % (1 << power) == 0:
            return f"{size >> power}{unit}"
    return str(size)
