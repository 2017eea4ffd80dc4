"""What is wrong with a recipe's data: broken, mislabelled, doubled, too small, unusual, or unbalanced images."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from ppcls.data.datasets import Dataset
from ppcls.data.inspection.scanning import Finding, scan
from ppcls.data.inspection.similarity import near_groups

# What makes a data set wrong; the rest is worth knowing.
WRONG = ("broken", "outside_labels", "shared_copies", "conflicting_labels")
TITLES = {
    "broken": "cannot be read",
    "outside_labels": "label outside of the model's classes",
    "shared_copies": "in training and in validation",
    "conflicting_labels": "copies with different labels",
    "copies": "there more than once",
    "near_copies": "nearly the same",
    "too_small": "smaller than the training crop",
    "unusual": "not plain 8-bit colour",
}
_SAME = " = "  # between the copies of an image
_SHOWN, _MEMBERS = 5, 3  # mistakes of a kind, and copies of an image, on the terminal


@dataclass(frozen=True)
class Checked:
    """A data set that was read.

    Attributes:
        side: "Train" or "Eval".
        findings: by image.
    """

    side: str
    dataset: Dataset
    findings: Sequence[Finding]


def check(
    datasets: Mapping[str, Dataset], class_num: int, smallest: int, workers: Optional[int]
) -> Tuple[Dict[str, Any], List[Checked]]:
    """Read all images of a recipe's data sets; return the report, fit for JSON, and what was read.

    Args:
        datasets: by "Train" and "Eval".
        class_num: how many classes the model has.
        smallest: side in pixels below which an image is too small.
        workers: processes; None for one a core.
    """
    checked = [Checked(side, data, scan(data, workers, f"reading {side}")) for side, data in datasets.items()]
    problems: Dict[str, List[str]] = {name: [] for name in TITLES}
    for part in checked:
        _check_images(part, class_num, smallest, problems)
    _check_copies(checked, problems)
    report = {
        "ok": not any(problems[name] for name in WRONG),
        "images": {part.side: len(part.findings) for part in checked},
        "problems": {name: lines for name, lines in problems.items() if lines},
        "classes": {part.side: _balance(part, class_num) for part in checked},
    }
    return report, checked


def causes(report: Mapping[str, Any]) -> str:
    """Return the first of each kind of mistake in a report, for the terminal; "" where there are none."""
    lines = []
    for name in WRONG:
        found = report["problems"].get(name, [])
        if found:
            lines.append(f"{len(found):,} {TITLES[name]}:")
            lines += [f"  {_shortened(text)}" for text in found[:_SHOWN]]
        if len(found) > _SHOWN:
            lines.append(f"  and {len(found) - _SHOWN:,} more")
    return "\n".join(lines)


def _shortened(text: str) -> str:
    members = text.split(_SAME)
    more = [f"{len(members) - _MEMBERS:,} more"] if len(members) > _MEMBERS else []
    return _SAME.join([*members[:_MEMBERS], *more])


def _check_images(part: Checked, class_num: int, smallest: int, problems: Dict[str, List[str]]) -> None:
    for index, finding in enumerate(part.findings):
        name = part.dataset.describe(index)
        label = part.dataset.label(index)
        if not 0 <= label < class_num:
            problems["outside_labels"].append(f"{part.dataset.where(index)}: label {label} of {class_num} classes")
        if finding.error is not None:
            problems["broken"].append(f"{name}: {finding.error}")
            continue
        if min(finding.size) < smallest:
            problems["too_small"].append(f"{name}: {finding.size[0]} x {finding.size[1]}, the crop is {smallest}")
        if finding.mode is not None:
            problems["unusual"].append(f"{name}: {finding.mode}")


def _check_copies(checked: Sequence[Checked], problems: Dict[str, List[str]]) -> None:
    """Find equal and nearly equal images, within and across the sides."""
    places = [(part, index) for part in checked for index in range(len(part.findings))]
    by_digest: Dict[str, List[int]] = defaultdict(list)
    for position, (part, index) in enumerate(places):
        if part.findings[index].error is None:
            by_digest[part.findings[index].digest].append(position)
    equal = [group for group in by_digest.values() if len(group) > 1]
    near = near_groups([part.findings[index].fingerprint for part, index in places])
    digests = [part.findings[index].digest for part, index in places]
    near = [group for group in near if len({digests[position] for position in group}) > 1]
    for kind, groups in (("copies", equal), ("near_copies", near)):
        for group in groups:
            members = [places[position] for position in group]
            text = _SAME.join(f"{part.side} {part.dataset.describe(index)}" for part, index in members)
            problems[kind].append(text)
            if len({part.side for part, _ in members}) > 1:
                problems["shared_copies"].append(text)
            if kind == "copies" and len({part.dataset.label(index) for part, index in members}) > 1:
                problems["conflicting_labels"].append(text)


def _balance(part: Checked, class_num: int) -> Dict[str, int]:
    """Return how many images each class has, by its name or number."""
    counts = Counter(int(label) for label in part.dataset.labels)
    names = part.dataset.class_names
    return {
        str(names[label] if names and label < len(names) else label): counts.get(label, 0)
        for label in range(max(class_num, *(label + 1 for label in counts), 1))
    }
