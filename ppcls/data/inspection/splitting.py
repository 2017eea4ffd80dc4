"""Training and validation lists from one data set: by class, reproducible, near copies on one side."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np

from ppcls.data.datasets import ImageFolder
from ppcls.data.datasets.names import is_unicode, to_text
from ppcls.data.inspection.scanning import Finding, scan
from ppcls.data.inspection.similarity import near_groups
from ppcls.errors import ConfigError, DataError

LISTS = ("train_list.txt", "val_list.txt", "labels.txt")


@dataclass(frozen=True)
class Split:
    """Which samples go where.

    Attributes:
        train: sample numbers.
        val: sample numbers.
        broken: (sample number, reason) of images that are in neither.
        copies: how many images have a near copy.
    """

    train: List[int]
    val: List[int]
    broken: List[tuple]
    copies: int


def split_folder(
    folder: Path, target: Path, fraction: float, seed: int, replace: bool, workers: Optional[int] = None
) -> Dict[str, object]:
    """Write ``train_list.txt``, ``val_list.txt`` and ``labels.txt`` of images sorted into one folder a class.

    Args:
        folder: holds a folder a class; the lists' paths are relative to it.
        target: where the lists go.
        fraction: of each class for validation.
        seed: of the choice.
        replace: whether earlier lists may be replaced.
        workers: processes; None for one a core.

    Returns:
        Counts, and the images that were left out.

    Raises:
        ConfigError: the fraction makes no sense, or lists would be replaced.
        DataError: the folder is not one, or a class has too few images.
    """
    if not 0 < fraction < 1:
        raise ConfigError(f"--val: expected a share between 0 and 1, got {fraction}")
    there = [str(target / name) for name in LISTS if (target / name).exists()]
    if there and not replace:
        raise ConfigError(f"{', '.join(there)}: there already; choose another --out, or --replace")
    dataset = ImageFolder(str(folder))
    chosen = split(dataset.labels, scan(dataset, workers), fraction, seed)
    names = dataset.class_names or []
    trained = set(dataset.labels[chosen.train].tolist())
    for label, name in enumerate(names):
        if label not in trained:
            raise DataError(f"{folder / name}: no image of this class is left to train with")
    texts = [_list(dataset, folder, chosen.train), _list(dataset, folder, chosen.val), to_text(names)]
    target.mkdir(parents=True, exist_ok=True)
    for file, text in zip(LISTS, texts):
        (target / file).write_text(text, encoding="utf-8")
    return {
        "classes": len(names),
        "train": len(chosen.train),
        "val": len(chosen.val),
        "near_copies": chosen.copies,
        "left_out": [f"{dataset.describe(index)}: {reason}" for index, reason in chosen.broken],
        "lists": [str(target / name) for name in LISTS],
    }


def _list(dataset: ImageFolder, folder: Path, indices: Sequence[int]) -> str:
    """Return the lines of a list.

    Raises:
        DataError: a path would be read as another one.
    """
    lines = []
    for index in indices:
        path = str(Path(dataset.describe(index)).relative_to(folder))
        if path != path.strip() or "\n" in path or "\r" in path or not is_unicode(path):
            raise DataError(f"{folder}: {path!r} cannot stand in a list (a line break, a blank at an end, no Unicode)")
        lines.append(f"{path} {dataset.labels[index]}\n")
    return "".join(lines)


def split(labels: np.ndarray, findings: Sequence[Finding], fraction: float, seed: int) -> Split:
    """Choose a share of each class for validation; images that are near copies of each other stay together.

    Args:
        labels: [N].
        findings: of the N images.
        fraction: of each class for validation; at least one image where a class has two.
        seed: of the choice.
    """
    usable = [index for index, finding in enumerate(findings) if finding.error is None]
    groups = near_groups([finding.fingerprint for finding in findings])
    together = {index: number for number, group in enumerate(groups) for index in group}
    units: Dict[int, List[int]] = defaultdict(list)
    for index in usable:
        units[together.get(index, -1 - index)].append(index)
    by_class: Dict[int, List[List[int]]] = defaultdict(list)
    for members in units.values():  # copies under different labels go where the first is counted
        by_class[int(labels[members[0]])].append(members)
    val: List[int] = []
    for label in sorted(by_class):
        val += _choose(by_class[label], fraction, np.random.default_rng((seed, label)))
    chosen = set(val)
    broken = [(index, finding.error) for index, finding in enumerate(findings) if finding.error is not None]
    return Split([index for index in usable if index not in chosen], sorted(val), broken, sum(map(len, groups)))


def _choose(units: List[List[int]], fraction: float, rng: np.random.Generator) -> List[int]:
    """Return the images of randomly chosen units that come nearest to the share."""
    total = sum(map(len, units))
    wanted = min(max(1, round(total * fraction)), total - 1) if len(units) > 1 else 0
    chosen: List[int] = []
    for position in rng.permutation(len(units)):
        unit = units[int(position)]
        if len(chosen) + len(unit) <= wanted:
            chosen += unit
    return chosen
