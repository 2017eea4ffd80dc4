"""Check data sets for images that are broken, mislabelled, duplicated, too small or unusual."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ppcls.data.datasets import Dataset
from ppcls.data.inspection.scanning import COLOUR, Finding, scan_images
from ppcls.data.inspection.similarity import near_duplicate_groups

# The problems that count as errors. The others are only reported.
ERRORS = ("broken", "class_mismatch", "outside_labels", "shared_copies", "conflicting_labels")
TITLES = {
    "broken": "cannot be read",
    "class_mismatch": "contradictions between classes",
    "differing_classes": "differences between the classes of training and validation",
    "outside_labels": "label outside of the model's classes",
    "shared_copies": "groups of copies in both training and validation",
    "conflicting_labels": "groups of copies with different labels",
    "copies": "groups of copies",
    "near_conflicts": "groups of near copies with different labels",
    "near_copies": "groups of near copies",
    "few_images": "classes with few images",
    "too_small": "smaller than the training crop",
    "unusual": "in another colour mode than most",
    "no_images": "not used: no images that can be decoded here",
    "outside_folders": "not used: images in no class folder",
    "hidden": "not used: hidden",
}
_SEPARATOR = " = "  # between the copies of an image
_MAX_PROBLEMS, _MAX_COPIES = 5, 3  # shown on the terminal: problems of one kind, and copies of one image
_FEW = 10  # images of a class for training
WHOLE = "All"  # the split of data that are not divided


@dataclass(frozen=True)
class CheckedDataset:
    """A data set whose images were read.

    Attributes:
        split: "Train", "Eval" or ``WHOLE``.
        dataset: the data set.
        findings: one per image.
    """

    split: str
    dataset: Dataset
    findings: Sequence[Finding]

    def describe(self, index: int) -> str:
        """Return the location of an image, with its split if there are several."""
        where = self.dataset.describe(index)
        return where if self.split == WHOLE else f"{self.split} {where}"

    def labels(self, index: int) -> str:
        """Return the names of an image's classes, or their ids where there are no names."""
        return ", ".join(self.name_of(label) for label in self.dataset.classes(index)) or "no class"

    def name_of(self, label: int) -> str:
        """Return the name of a class, or its id."""
        names = self.dataset.class_names
        return str(names[label] if names and 0 <= label < len(names) else label)


Group = Sequence[Tuple[CheckedDataset, int]]  # images that are copies of each other


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
        report: as JSON values.
        checked: the data sets with what was found in them.
        groups: copies, by the kind of the problem.
    """

    report: Dict[str, Any]
    checked: List[CheckedDataset]
    groups: Dict[str, List[Group]]


def check_datasets(
    datasets: Mapping[str, Dataset],
    class_num: int,
    smallest: int,
    workers: Optional[int],
    class_problems: Mapping[str, Sequence[str]],
) -> Check:
    """Read all images of data sets.

    Args:
        datasets: by split, "Train" and "Eval", or ``WHOLE``.
        class_num: number of the model's classes.
        smallest: images with a side shorter than this are too small, in pixels.
        workers: number of processes; by default one per core.
        class_problems: problems of the classes that are known already, by kind.
    """
    checked = [
        CheckedDataset(split, dataset, scan_images(dataset, workers, "reading" + f" {split}" * (split != WHOLE)))
        for split, dataset in datasets.items()
    ]
    problems: Dict[str, List[str]] = {name: [] for name in TITLES}
    problems.update({name: list(lines) for name, lines in class_problems.items()})
    modes = {
        item.split: Counter(finding.mode for finding in item.findings if finding.error is None) for item in checked
    }
    for item in checked:
        _check_images(item, class_num, smallest, _usual_mode(modes), problems)
    groups = _find_copies(checked)
    for kind, members in groups.items():
        problems[kind] += [_describe_group(group, with_labels="conflict" in kind) for group in members]
    _list_unused(checked, problems)
    counts = {item.split: _class_counts(item, class_num) for item in checked}
    problems["few_images"] = _few_images(counts)
    report = {
        "ok": not any(problems[name] for name in ERRORS),
        "images": {item.split: len(item.findings) for item in checked},
        "sizes": {item.split: _sizes(item) for item in checked},
        "modes": {split: dict(counts.most_common()) for split, counts in modes.items()},
        "problems": {name: lines for name, lines in problems.items() if lines},
        "classes": counts,
    }
    if any(item.dataset.is_multilabel for item in checked):
        report["labels_per_image"] = {item.split: _labels_per_image(item.dataset) for item in checked}
    return Check(report, checked, groups)


def summarize_errors(report: Mapping[str, Any]) -> str:
    """Return the first errors of each kind in a report, for the terminal; "" if there are none."""
    lines = []
    for name in ERRORS:
        problems = report["problems"].get(name, [])
        if problems:
            lines.append(f"{numbered(name, len(problems))}:")
            lines += [f"  {_shorten(text)}" for text in problems[:_MAX_PROBLEMS]]
        if len(problems) > _MAX_PROBLEMS:
            lines.append(f"  and {len(problems) - _MAX_PROBLEMS:,} more")
    return "\n".join(lines)


def numbered(kind: str, count: int) -> str:
    """Return how many problems of a kind there are, in words."""
    title = TITLES[kind].replace("groups", "group", 1) if count == 1 else TITLES[kind]
    return f"{count:,} {title}"


def _shorten(text: str) -> str:
    members = text.split(_SEPARATOR)
    more = [f"{len(members) - _MAX_COPIES:,} more"] if len(members) > _MAX_COPIES else []
    return _SEPARATOR.join([*members[:_MAX_COPIES], *more])


def _usual_mode(modes: Mapping[str, Mapping[str, int]]) -> str:
    """Return the colour mode that most images of all splits have; of equals, plain colour first."""
    total: Counter[str] = Counter({COLOUR: 0})
    for counts in modes.values():
        total.update(counts)
    return max(total, key=lambda mode: total[mode])  # the first of equals


def _check_images(
    item: CheckedDataset, class_num: int, smallest: int, usual_mode: str, problems: Dict[str, List[str]]
) -> None:
    labels = item.dataset.labels
    if item.dataset.is_multilabel and labels.shape[1] != class_num:
        problems["outside_labels"].append(f"{item.dataset.where(0)}: {labels.shape[1]} labels for {class_num} classes")
    for index, finding in enumerate(item.findings):
        name = item.dataset.describe(index)
        for label in item.dataset.classes(index):
            if not 0 <= label < class_num:
                problems["outside_labels"].append(f"{item.dataset.where(index)}: label {label} of {class_num} classes")
        if finding.error is not None:
            problems["broken"].append(f"{name}: {finding.error}")
            continue
        if min(finding.size) < smallest:
            problems["too_small"].append(f"{name}: {finding.size[0]} x {finding.size[1]}, the crop is {smallest}")
        if finding.mode != usual_mode:
            problems["unusual"].append(f"{name}: {finding.mode}")


def _find_copies(checked: Sequence[CheckedDataset]) -> Dict[str, List[Group]]:
    """Return duplicates and near-duplicates, within and across the splits, by the kind of the problem."""
    images = [(item, index) for item in checked for index in range(len(item.findings))]
    by_digest: Dict[str, List[int]] = defaultdict(list)
    for position, (item, index) in enumerate(images):
        if item.findings[index].error is None:
            by_digest[item.findings[index].digest].append(position)
    equal = [group for group in by_digest.values() if len(group) > 1]
    near = near_duplicate_groups([item.findings[index].fingerprint for item, index in images])
    digests = [item.findings[index].digest for item, index in images]
    near = [group for group in near if len({digests[position] for position in group}) > 1]
    found: Dict[str, List[Group]] = defaultdict(list)
    for positions in equal:
        _add_group(found, [images[position] for position in positions], "copies", "conflicting_labels")
    for positions in near:
        _add_group(found, [images[position] for position in positions], "near_copies", "near_conflicts")
    return dict(found)


def _add_group(found: Dict[str, List[Group]], group: Group, kind: str, conflict: str) -> None:
    """Add copies under what is wrong with them, if it is that: they are on both sides, or their labels differ."""
    is_shared = len({item.split for item, _ in group}) > 1
    differ = len({item.dataset.classes(index) for item, index in group}) > 1
    if is_shared:
        found["shared_copies"].append(group)
    if differ:
        found[conflict].append(group)
    if not is_shared and not differ:
        found[kind].append(group)


def _describe_group(group: Group, with_labels: bool) -> str:
    return _SEPARATOR.join(
        item.describe(index) + (f" ({item.labels(index)})" if with_labels else "") for item, index in group
    )


def _few_images(counts: Mapping[str, Mapping[str, int]]) -> List[str]:
    """Return the classes that have few images to train with, and how many."""
    training = next((counts[split] for split in (WHOLE, "Train") if split in counts), {})
    return [f"{name}: {count} image{'s' * (count != 1)}" for name, count in training.items() if count < _FEW]


def _sizes(item: CheckedDataset) -> Dict[str, List[int]]:
    """Return the smallest, the median and the largest width and height of the images; nothing if there are none."""
    sizes = np.array([finding.size for finding in item.findings if finding.error is None])
    if not len(sizes):
        return {}
    statistics = {"smallest": sizes.min(0), "median": np.median(sizes, axis=0), "largest": sizes.max(0)}
    return {name: np.rint(size).astype(int).tolist() for name, size in statistics.items()}


def _list_unused(checked: Sequence[CheckedDataset], problems: Dict[str, List[str]]) -> None:
    """List the files of the data sets' folders that are not used; of a folder that two sides share, once."""
    for kind, attribute in (("no_images", "others"), ("outside_folders", "outside"), ("hidden", "hidden")):
        unused = (item.dataset.unused for item in checked)
        paths = (str(files.root / name) for files in unused for name in getattr(files, attribute))
        problems[kind] += dict.fromkeys(paths)


def _labels_per_image(dataset: Dataset) -> Dict[str, float]:
    """Return the mean number of classes of an image, and the number of images that have none."""
    counts = np.array([len(dataset.classes(index)) for index in range(len(dataset))])
    return {"mean": round(float(counts.mean()), 3), "none": int((counts == 0).sum())}


def _class_counts(item: CheckedDataset, class_num: int) -> Dict[str, int]:
    """Return the number of images per class, by class name or id."""
    counts = Counter(label for index in range(len(item.dataset)) for label in item.dataset.classes(index))
    return {
        item.name_of(label): counts.get(label, 0)
        for label in range(max(class_num, *(label + 1 for label in counts), 1))
    }
