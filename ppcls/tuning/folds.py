"""Divide the samples of a data set into disjoint folds. Near copies stay together, and classes are spread evenly.

The spreading is iterative stratification (Sechidis et al., 2011, https://doi.org/10.1007/978-3-642-23808-6_10), which
for one class per image is ordinary stratification.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ppcls.data.datasets import Dataset
from ppcls.data.inspection.scanning import Finding
from ppcls.data.inspection.similarity import near_duplicate_groups
from ppcls.errors import DataError
from ppcls.utils.text import listed


@dataclass(frozen=True)
class Folds:
    """Disjoint folds.

    Attributes:
        members: indices of the samples of each fold, ascending.
        broken: (index, reason) of the images that are in none.
        near_duplicates: how many images are near copies of another one.
    """

    members: Sequence[Sequence[int]]
    broken: Sequence[Tuple[int, str]]
    near_duplicates: int

    def rest(self, fold: int) -> List[int]:
        """Return the samples of all folds but one."""
        return sorted(index for number, part in enumerate(self.members) if number != fold for index in part)


def make_folds(dataset: Dataset, findings: Sequence[Finding], count: int, seed: int) -> Folds:
    """Divide a data set.

    Args:
        findings: one per sample.
        count: the number of folds.
        seed: of the random order.

    Raises:
        DataError: the samples do not suffice.
    """
    broken = [(index, finding.error) for index, finding in enumerate(findings) if finding.error is not None]
    unreadable = {index for index, _ in broken}
    groups = near_duplicate_groups([finding.fingerprint for finding in findings])
    grouped = {index for group in groups for index in group}
    single = [[index] for index in range(len(dataset)) if index not in grouped and index not in unreadable]
    units = sorted([*groups, *single])  # a unit goes into one fold
    if len(units) < count:
        raise DataError(f"{len(units)} images that are no near copies of each other do not suffice for {count} folds")
    members = [sorted(part) for part in _spread(units, dataset, count, seed)]
    folds = Folds(members, broken, sum(map(len, groups)))
    _require_all_classes(dataset, folds)
    return folds


def _spread(units: Sequence[Sequence[int]], dataset: Dataset, count: int, seed: int) -> List[List[int]]:
    """Return the samples of each fold: rare classes first, each unit to the fold that lacks its class most."""
    order = np.random.default_rng(seed).permutation(len(units)).tolist()
    of_class: Dict[int, List[int]] = {}  # the units of each class, in random order
    for unit in order:
        for label in sorted({label for index in units[unit] for label in dataset.classes(index)}):
            of_class.setdefault(label, []).append(unit)
    sizes = {label: sum(len(units[unit]) for unit in members) for label, members in of_class.items()}
    wanted = {label: np.full(count, size / count) for label, size in sizes.items()}
    room = np.full(count, sum(map(len, units)) / count)
    folds: List[List[int]] = [[] for _ in range(count)]
    placed = [False] * len(units)

    def place(unit: int, lack: np.ndarray) -> None:
        fold = int(np.lexsort((-room, -lack))[0])
        folds[fold] += units[unit]
        room[fold] -= len(units[unit])
        placed[unit] = True
        for index in units[unit]:
            for label in dataset.classes(index):
                wanted[label][fold] -= 1

    for label in sorted(of_class, key=lambda label: (sizes[label], label)):
        members = [unit for unit in of_class[label] if not placed[unit]]
        for unit in sorted(members, key=lambda unit: -len(units[unit])):  # large ones are the hardest to place
            place(unit, wanted[label])
    for unit in order:
        if not placed[unit]:  # of no class
            place(unit, room)
    return folds


def _require_all_classes(dataset: Dataset, folds: Folds) -> None:
    """Refuse folds without which a class has no training image."""
    names = dataset.class_names
    for fold, held_out in enumerate(folds.members):
        used = {label for index in folds.rest(fold) for label in dataset.classes(index)}
        lost = sorted({label for index in held_out for label in dataset.classes(index)} - used)
        if lost:
            called = [names[label] if names is not None and label < len(names) else str(label) for label in lost]
            raise DataError(
                f"{listed(called)}: all images of a class are near copies of each other, or it has one image only: it "
                f"cannot be trained on and validated; add images, or remove the class"
            )


def classes_without_validation(dataset: Dataset, folds: Folds) -> int:
    """Return how many classes have no image in some fold."""
    present = [{label for index in part for label in dataset.classes(index)} for part in folds.members]
    return len(set().union(*present)) - len(set.intersection(*present))
