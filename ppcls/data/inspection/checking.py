"""Check a recipe's data for images that are broken, mislabelled, duplicated, too small or unusual."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ppcls.data.datasets import Dataset
from ppcls.data.inspection.scanning import Finding, scan_images
from ppcls.data.inspection.similarity import near_duplicate_groups

# The problems that count as errors. The others are only reported.
ERRORS = ("broken", "class_mismatch", "outside_labels", "shared_copies", "conflicting_labels")
TITLES = {
    "broken": "cannot be read",
    "class_mismatch": "contradictions between classes",
    "differing_classes": "differences between the classes of training and validation",
    "outside_labels": "label outside of the model's classes",
    "shared_copies": "in training and in validation",
    "conflicting_labels": "copies with different labels",
    "copies": "there more than once",
    "near_copies": "nearly the same",
    "too_small": "smaller than the training crop",
    "unusual": "not plain 8-bit colour",
    "no_images": "not used: no images that can be decoded here",
    "outside_folders": "not used: images in no class folder",
    "hidden": "not used: hidden",
}
_SEPARATOR = " = "  # between the copies of an image
_MAX_PROBLEMS, _MAX_COPIES = 5, 3  # shown on the terminal: problems of one kind, and copies of one image


@dataclass(frozen=True)
class CheckedDataset:
    """A data set whose images were read.

    Attributes:
        split: "Train" or "Eval".
        dataset: the data set.
        findings: one per image.
    """

    split: str
    dataset: Dataset
    findings: Sequence[Finding]


def check_datasets(
    datasets: Mapping[str, Dataset],
    class_num: int,
    smallest: int,
    workers: Optional[int],
    class_problems: Mapping[str, Sequence[str]],
) -> Tuple[Dict[str, Any], List[CheckedDataset]]:
    """Read all images of a recipe's data sets.

    Args:
        datasets: by split, "Train" and "Eval".
        class_num: number of the model's classes.
        smallest: images with a side shorter than this are too small, in pixels.
        workers: number of processes; by default one per core.
        class_problems: problems of the classes that are known already, by kind.

    Returns:
        The report, as JSON values, and the data sets with what was found.
    """
    checked = [
        CheckedDataset(split, dataset, scan_images(dataset, workers, f"reading {split}"))
        for split, dataset in datasets.items()
    ]
    problems: Dict[str, List[str]] = {name: [] for name in TITLES}
    problems.update({name: list(lines) for name, lines in class_problems.items()})
    for item in checked:
        _check_images(item, class_num, smallest, problems)
    _check_copies(checked, problems)
    _list_unused(checked, problems)
    report = {
        "ok": not any(problems[name] for name in ERRORS),
        "images": {item.split: len(item.findings) for item in checked},
        "problems": {name: lines for name, lines in problems.items() if lines},
        "classes": {item.split: _class_counts(item, class_num) for item in checked},
    }
    return report, checked


def summarize_errors(report: Mapping[str, Any]) -> str:
    """Return the first errors of each kind in a report, for the terminal; "" if there are none."""
    lines = []
    for name in ERRORS:
        problems = report["problems"].get(name, [])
        if problems:
            lines.append(f"{len(problems):,} {TITLES[name]}:")
            lines += [f"  {_shorten(text)}" for text in problems[:_MAX_PROBLEMS]]
        if len(problems) > _MAX_PROBLEMS:
            lines.append(f"  and {len(problems) - _MAX_PROBLEMS:,} more")
    return "\n".join(lines)


def _shorten(text: str) -> str:
    members = text.split(_SEPARATOR)
    more = [f"{len(members) - _MAX_COPIES:,} more"] if len(members) > _MAX_COPIES else []
    return _SEPARATOR.join([*members[:_MAX_COPIES], *more])


def _check_images(item: CheckedDataset, class_num: int, smallest: int, problems: Dict[str, List[str]]) -> None:
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
        if finding.mode is not None:
            problems["unusual"].append(f"{name}: {finding.mode}")


def _check_copies(checked: Sequence[CheckedDataset], problems: Dict[str, List[str]]) -> None:
    """Find duplicates and near-duplicates, within and across the splits."""
    images = [(item, index) for item in checked for index in range(len(item.findings))]
    by_digest: Dict[str, List[int]] = defaultdict(list)
    for position, (item, index) in enumerate(images):
        if item.findings[index].error is None:
            by_digest[item.findings[index].digest].append(position)
    equal = [group for group in by_digest.values() if len(group) > 1]
    near = near_duplicate_groups([item.findings[index].fingerprint for item, index in images])
    digests = [item.findings[index].digest for item, index in images]
    near = [group for group in near if len({digests[position] for position in group}) > 1]
    for kind, groups in (("copies", equal), ("near_copies", near)):
        for group in groups:
            members = [images[position] for position in group]
            text = _SEPARATOR.join(f"{item.split} {item.dataset.describe(index)}" for item, index in members)
            is_shared = len({item.split for item, _ in members}) > 1
            problems["shared_copies" if is_shared else kind].append(text)
            if kind == "copies" and len({item.dataset.classes(index) for item, index in members}) > 1:
                problems["conflicting_labels"].append(text)


def _list_unused(checked: Sequence[CheckedDataset], problems: Dict[str, List[str]]) -> None:
    """List the files of the data sets' folders that are not used; of a folder that two sides share, once."""
    for kind, attribute in (("no_images", "others"), ("outside_folders", "outside"), ("hidden", "hidden")):
        unused = (item.dataset.unused for item in checked)
        paths = (str(files.root / name) for files in unused for name in getattr(files, attribute))
        problems[kind] += dict.fromkeys(paths)


def _class_counts(item: CheckedDataset, class_num: int) -> Dict[str, int]:
    """Return the number of images per class, by class name or id."""
    counts = Counter(label for index in range(len(item.dataset)) for label in item.dataset.classes(index))
    names = item.dataset.class_names
    return {
        str(names[label] if names and label < len(names) else label): counts.get(label, 0)
        for label in range(max(class_num, *(label + 1 for label in counts), 1))
    }
