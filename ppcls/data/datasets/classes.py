"""Class ids and their meaning; data sets renumbered to a model's classes."""

from __future__ import annotations

import copy
import difflib
import functools
import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

import numpy as np

from ppcls.data.datasets.base import Dataset
from ppcls.errors import DataError
from ppcls.utils.text import listed

_DIGITS = re.compile(r"\d")
_listed = functools.partial(listed, limit=20)  # classes in a message


@dataclass(frozen=True)
class Classes:
    """What the class ids of a model mean.

    Attributes:
        names: by class id; None if not known.
        labels: the label of each class id in the list files, where ``relabel`` renumbered them; None elsewhere.
    """

    names: Optional[Sequence[str]] = None
    labels: Optional[Sequence[int]] = None

    @property
    def label_names(self) -> Optional[List[str]]:
        """The labels as text, by class id: what to call classes that have no names."""
        return None if self.labels is None else [str(label) for label in self.labels]

    @classmethod
    def of(cls, dataset: Dataset) -> Classes:
        """Return the classes that a data set numbers."""
        return cls(known_names(dataset), dataset.list_labels)

    @classmethod
    def from_json(cls, value: Optional[Mapping[str, Any]]) -> Optional[Classes]:
        """Return what ``to_json`` has returned as classes; None for None."""
        return None if value is None else cls(value.get("names"), value.get("labels"))

    def to_json(self) -> Dict[str, Any]:
        """Return the classes as JSON values."""
        return {
            "names": None if self.names is None else list(self.names),
            "labels": None if self.labels is None else list(self.labels),
        }


def known_names(dataset: Dataset) -> Optional[List[str]]:
    """Return the class names of a data set; None where a ``labels.txt`` names other classes than its columns."""
    names = dataset.class_names
    return None if names is not None and dataset.is_multilabel and len(names) != dataset.labels.shape[1] else names


def count_classes(dataset: Dataset) -> Tuple[int, str]:
    """Return how many classes a data set has, and how that is known.

    They are the columns of multi-label data, else those with names, else all up to the highest label.
    """
    if dataset.is_multilabel:
        return dataset.labels.shape[1], "the columns of its labels"
    if dataset.class_names is not None:
        return len(dataset.class_names), "the names of its classes"
    if dataset.list_labels is not None:
        return len(dataset.list_labels), "its different labels"
    return int(dataset.labels.max()) + 1, "its highest label"


def align_classes(dataset: Dataset, classes: Classes, owner: str) -> Tuple[Dataset, List[str]]:
    """Return a data set with the class ids of a model, and what to tell about it.

    Classes are matched by name where both sides have names, and labels of lists by their value where one side was
    renumbered by ``relabel``. In all other cases the class ids stay.

    Args:
        classes: of the model.
        owner: whose classes these are, such as "the model".

    Raises:
        DataError: the data have a class that is not among them.
    """
    names = known_names(dataset)
    if classes.names is not None and names is not None:
        return _align_names(dataset, classes.names, names, owner)
    if dataset.from_list and not dataset.is_multilabel and (classes.labels, dataset.list_labels) != (None, None):
        return _align_labels(dataset, classes.labels, owner)
    return dataset, []


def _align_names(
    dataset: Dataset, names: Sequence[str], data_names: Sequence[str], owner: str
) -> Tuple[Dataset, List[str]]:
    _require_names(dataset, data_names)
    old_ids = _used(dataset, len(data_names))
    used = old_ids
    if list(data_names) != list(names):
        new_ids = _match_names(names, data_names, old_ids, owner)
        dataset = _renumbered(dataset, new_ids, list(names))
        used = [new_id for new_id in (new_ids[old_id] for old_id in old_ids) if new_id is not None]
    present = set(used)
    absent = [name for index, name in enumerate(names) if index not in present]
    # Classes that are missing shift the numbers of others, which is no second difference.
    only_shifted = bool(absent) and used == sorted(used)
    notes = []
    if used != old_ids and not only_shifted:
        notes.append(f"class numbers differ from those of {owner}; classes are matched by name")
    if absent:
        others = "; the others are matched by name" if used != old_ids and only_shifted else ""
        notes.append(f"{_describe_absent(dataset, absent, len(names), owner)}{others}")
    return dataset, notes


def _describe_absent(dataset: Dataset, absent: Sequence[str], count: int, owner: str) -> str:
    names = _listed(absent)
    if not dataset.is_multilabel:
        return f"no images for {len(absent)} of the {count} classes of {owner}: {names}"
    verb = "counts" if len(absent) == 1 else "count"
    return f"these data have no column for {len(absent)} of {count} classes of {owner}, which {verb} as absent: {names}"


def _require_names(dataset: Dataset, names: Sequence[str]) -> None:
    """Raise a DataError for a class without a name."""
    if dataset.is_multilabel:
        return  # those of ``known_names`` fit
    unnamed = np.flatnonzero((dataset.labels < 0) | (dataset.labels >= len(names)))
    if len(unnamed):
        index = int(unnamed[0])
        raise DataError(
            f"{dataset.where(index)}: label {dataset.label(index)}, and there are names of {len(names)} classes, 0 to "
            f"{len(names) - 1}: {_listed(names)}"
        )


def _used(dataset: Dataset, count: int) -> List[int]:
    """Return the class ids that have images, sorted; of multi-label data all of them, since each has its column."""
    return list(range(count)) if dataset.is_multilabel else np.unique(dataset.labels).tolist()


def _match_names(
    names: Sequence[str], data_names: Sequence[str], used: Sequence[int], owner: str
) -> List[Optional[int]]:
    """Return the model's id of each of a data set's class names, None for one that is not used there.

    Raises:
        DataError: there is no such name, or two classes of one side have it.
    """
    exact, composed = _by_name(names), _by_name(map(_composed, names))
    new_ids: List[Optional[int]] = []
    unknown = []
    present = set(used)
    taken: Set[int] = set()
    for index, name in enumerate(data_names):
        # One name may be written with composed letters or with separate accents, as macOS does.
        found = exact.get(name) or composed.get(_composed(name), [])
        if index in present:
            if len(found) > 1 or taken.intersection(found):
                raise DataError(f"two classes are called {name!r}; classes are matched by name, so rename one")
            taken.update(found)
            unknown += [] if found else [name]
        new_ids.append(found[0] if found else None)
    if unknown:
        hints = [
            f"{name!r} (is it {hint!r}?)" if hint else repr(name) for name, hint in _hints(unknown, names, data_names)
        ]
        verb = "is not a class" if len(unknown) == 1 else "are not classes"
        raise DataError(
            f"{_listed(hints)} {verb} of {owner}; rename or remove {'it' if len(unknown) == 1 else 'them'}\n"
            f"  {owner} ({len(names)}): {_listed(names)}\n  these data ({len(data_names)}): {_listed(data_names)}"
        )
    return new_ids


def find_places(own: Sequence[Any], others: Sequence[Any]) -> Optional[List[int]]:
    """Return the place of each of some classes among others; None unless both have the same classes, each once.

    Args:
        own: names or labels by class id; ``others`` likewise.
    """
    places = {_composed(item) if isinstance(item, str) else item: index for index, item in enumerate(others)}
    found = [places.get(_composed(item) if isinstance(item, str) else item) for item in own]
    known = [place for place in found if place is not None]
    return known if sorted(known) == list(range(len(own))) == list(range(len(others))) else None


def _by_name(names: Iterable[str]) -> Dict[str, List[int]]:
    """Return the class ids of each name."""
    found: Dict[str, List[int]] = {}
    for index, name in enumerate(names):
        found.setdefault(name, []).append(index)
    return found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _hints(unknown: Sequence[str], names: Sequence[str], data_names: Sequence[str]) -> List[Tuple[str, Optional[str]]]:
    """Return each unknown name with the known one that it may be, which the data do not have."""
    present = set(data_names)
    names = [name for name in names if name not in present]
    folded = {name.casefold().strip(): name for name in names}
    hints = []
    for name in unknown:
        others = [other for other in names if _DIGITS.findall(other) == _DIGITS.findall(name)]  # class-4 is no class-5
        near = difflib.get_close_matches(name, others, n=1, cutoff=0.8)
        hints.append((name, folded.get(name.casefold().strip()) or (near[0] if near else None)))
    return hints


def _align_labels(dataset: Dataset, labels: Optional[Sequence[int]], owner: str) -> Tuple[Dataset, List[str]]:
    """Match the labels of a list with those of the list that the model was trained on.

    Args:
        labels: the label of each class of the model; None where they are the class ids.
    """
    own = dataset.list_labels
    values = dataset.labels if own is None else np.array(own, np.int64)[dataset.labels]
    present = np.unique(values).tolist()
    known = {value: value for value in present} if labels is None else {label: i for i, label in enumerate(labels)}
    unknown = [value for value in present if value not in known]
    if unknown:
        raise DataError(
            f"the label{'s' * (len(unknown) > 1)} {_listed(unknown)} of the list {'are' if len(unknown) > 1 else 'is'} "
            f"not among those that {owner} was trained on; correct the list\n"
            f"  {owner} ({len(known)}): {_listed(list(known))}\n  these data ({len(present)}): {_listed(present)}"
        )
    changed = copy.copy(dataset)
    changed.labels = np.array([known[value] for value in present], np.int64)[np.searchsorted(present, values)]
    changed.list_labels = None if labels is None else list(labels)
    absent = sorted(set(known) - set(present))
    note = f"no images for {len(absent)} of the {len(known)} labels of {owner}: {_listed(absent)}"
    return changed, [note] if absent else []


def _renumbered(dataset: Dataset, new_ids: Sequence[Optional[int]], names: Optional[List[str]]) -> Dataset:
    """Return a copy of a data set with other class ids; the original stays as it is.

    Args:
        new_ids: the new id of each class; None for a class that does not occur.
        names: by new class id.
    """
    changed = copy.copy(dataset)
    if dataset.is_multilabel:
        columns = [(old, new) for old, new in enumerate(new_ids) if new is not None]
        count = len(names or [])
        changed.labels = np.zeros((len(dataset), count), dataset.labels.dtype)
        ratio = None if dataset.label_ratio is None else np.zeros(count, dataset.label_ratio.dtype)
        for old, new in columns:
            changed.labels[:, new] = dataset.labels[:, old]
            if ratio is not None and dataset.label_ratio is not None:
                ratio[new] = dataset.label_ratio[old]
        changed.label_ratio = ratio
    else:
        table = np.array([-1 if new_id is None else new_id for new_id in new_ids], np.int64)
        changed.labels = table[dataset.labels]
    changed.class_names = names
    changed.list_labels = None
    return changed
