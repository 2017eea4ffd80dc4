"""Split a data set into training and validation lists. Near-duplicates stay together."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from ppcls.data.datasets import ImageFolder, ImageNetDataset
from ppcls.data.datasets.base import FileDataset
from ppcls.data.datasets.list_text import format_list
from ppcls.data.datasets.names import format_class_names
from ppcls.data.inspection.scanning import Finding, scan_images
from ppcls.data.inspection.similarity import near_duplicate_groups
from ppcls.data.transforms import image_files
from ppcls.errors import ConfigError, DataError
from ppcls.utils import atomic
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger
from ppcls.utils.text import listed

FILES = ("train_list.txt", "val_list.txt", "labels.txt")


@dataclass(frozen=True)
class Split:
    """The result of a split.

    Attributes:
        train: indices of the training samples.
        val: indices of the validation samples.
        broken: (index, reason) of the images that are in neither.
        near_duplicates: groups of images that are near-duplicates.
    """

    train: List[int]
    val: List[int]
    broken: List[tuple]
    near_duplicates: List[List[int]]


def open_source(path: Path) -> FileDataset:
    """Return the images of a folder with one folder per class, or of a list file that is in the folder of its images.

    Raises:
        DataError: it is neither.
    """
    if path.is_file():
        return ImageNetDataset(str(path.parent), str(path))
    return ImageFolder(str(path))


def split_dataset(
    dataset: FileDataset, target: Path, fraction: float, seed: int, replace: bool, workers: Optional[int] = None
) -> Dict[str, object]:
    """Write ``train_list.txt``, ``val_list.txt`` and, of classes with names, ``labels.txt``.

    Args:
        dataset: one class per image; the paths in the lists are relative to its folder.
        target: folder for the lists.
        fraction: fraction of each class for validation.
        seed: seed of the split.
        replace: whether existing lists may be replaced.
        workers: number of processes; by default one per core.

    Returns:
        The counts, and the images that were left out.

    Raises:
        ConfigError: the fraction is out of range, or existing lists would be replaced.
        DataError: a class has too few images, or a path cannot be written to a list.
        MachineError: a list cannot be written.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"--val: must be between 0 and 1, not {fraction}")
    if dataset.is_multilabel:
        raise ConfigError(f"{dataset.source}: has several classes per image, which cannot be split")
    existing = [str(target / name) for name in FILES if (target / name).exists()]
    if existing and not replace:
        raise ConfigError(f"{', '.join(existing)}: already there; choose another folder with --out, or add --replace")
    if target.exists():  # before the work
        _ensure_writable(target)
    names = dataset.class_names or []
    classes = np.unique(dataset.labels).tolist()
    if len(classes) < 2:
        raise DataError(f"{dataset.source}: has one class, {_name(names, classes[0])}; at least two are needed")
    split = split_samples(dataset.labels, scan_images(dataset, workers), fraction, seed)
    _require_both_parts(dataset, split)
    texts = {
        name: format_list(dataset, indices, dataset.root) for name, indices in zip(FILES, (split.train, split.val))
    }
    lost = sorted(set(classes) - set(dataset.labels[split.train].tolist()))
    if lost:
        raise DataError(f"{dataset.root / _name(names, lost[0])}: no image of this class is left to train with")
    if names:
        texts[FILES[2]] = format_class_names(names)
    _ensure_writable(target)
    atomic.write_texts({target / file: text for file, text in texts.items()})
    return {
        "classes": len(names or classes),
        "train": len(split.train),
        "val": len(split.val),
        "classes_without_val": _without_validation(dataset, split),
        "near_copies": sum(map(len, split.near_duplicates)),
        "near_copy_groups": [[dataset.describe(index) for index in group] for group in split.near_duplicates],
        "left_out": [f"{dataset.describe(index)}: {reason}" for index, reason in split.broken],
        "not_used": dict(image_files.count_by_suffix(dataset.unused.others)),
        "lists": [str(target / name) for name in texts],
    }


def _require_both_parts(dataset: FileDataset, split: Split) -> None:
    """Refuse a split that leaves nothing for one of its parts.

    Raises:
        DataError: it does.
    """
    if len(split.broken) == len(dataset):
        index, reason = split.broken[0]
        raise DataError(
            f"{dataset.source}: none of its {len(dataset):,} images can be read, such as {dataset.describe(index)}: "
            f"{reason}"
        )
    if not split.val:
        raise DataError(
            f"{dataset.source}: no image is left for validation: no class has two images that are not near copies"
        )


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if label < len(names) else str(label)


def _ensure_writable(target: Path) -> None:
    ensure_writable(target, f"--out: {target}", "choose another folder with --out")


def _without_validation(dataset: FileDataset, split: Split) -> List[str]:
    """Return the classes that have no validation image, and warn of them."""
    names, val = dataset.class_names or [], set(dataset.labels[split.val].tolist())
    counts = Counter(dataset.labels[split.train].tolist())
    lacking = sorted(set(counts) - val)
    if lacking:
        classes = listed([f"{_name(names, label)} ({counts[label]} for training)" for label in lacking])
        get_logger().warning(
            "no validation image for %d of %d classes, because a class needs two images that are not near copies: %s",
            *(len(lacking), len(names or counts), classes),
        )
    return [_name(names, label) for label in lacking]


def split_samples(labels: np.ndarray, findings: Sequence[Finding], fraction: float, seed: int) -> Split:
    """Choose a fraction of each class for validation. Near-duplicates stay together.

    Args:
        labels: class ids, [N].
        findings: one per image.
        fraction: fraction of each class for validation; at least one image of a class with two.
        seed: seed of the split.
    """
    usable = [index for index, finding in enumerate(findings) if finding.error is None]
    groups = near_duplicate_groups([finding.fingerprint for finding in findings])
    group_of = {index: number for number, group in enumerate(groups) for index in group}
    units: Dict[int, List[int]] = defaultdict(list)  # groups, and single images under negative numbers
    for index in usable:
        units[group_of.get(index, -1 - index)].append(index)
    by_class: Dict[int, List[List[int]]] = defaultdict(list)
    for members in units.values():  # a group with several labels counts for the class of its first image
        by_class[int(labels[members[0]])].append(members)
    val: List[int] = []
    for label in sorted(by_class):
        val += _choose_validation(by_class[label], fraction, np.random.default_rng((seed, label)))
    in_val = set(val)
    broken = [(index, finding.error) for index, finding in enumerate(findings) if finding.error is not None]
    return Split([index for index in usable if index not in in_val], sorted(val), broken, groups)


def _choose_validation(units: List[List[int]], fraction: float, rng: np.random.Generator) -> List[int]:
    """Return the images of randomly chosen units, up to the fraction of a class for validation."""
    total = sum(map(len, units))
    target = min(max(1, round(total * fraction)), total - 1) if len(units) > 1 else 0
    val: List[int] = []
    for position in rng.permutation(len(units)):
        unit = units[int(position)]
        if len(val) + len(unit) <= target:
            val += unit
    return val
