"""The two parts of a data set: as they are, or as lists in the run's folder. No image is copied or moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import List, Sequence

import numpy as np

from ppcls.data.build import build_dataset
from ppcls.data.datasets.base import FileDataset
from ppcls.data.datasets.list_text import format_list
from ppcls.data.datasets.names import format_class_names
from ppcls.data.folder_layout import Layout, Section
from ppcls.data.inspection.scanning import Finding
from ppcls.data.inspection.splitting import FILES, split_samples
from ppcls.errors import DataError
from ppcls.starter.survey import Survey
from ppcls.utils import atomic
from ppcls.utils.text import listed

_SEED = 0


@dataclass(frozen=True)
class Parts:
    """What to train and to validate with.

    Attributes:
        train: the ``dataset`` section of ``DataLoader.Train``, without transforms.
        val: that of ``DataLoader.Eval``.
        num_train: number of images to train with.
        num_val: number of images to validate with.
        notes: what was done, one sentence each.
    """

    train: Section
    val: Section
    num_train: int
    num_val: int
    notes: List[str] = field(default_factory=list)


def make_parts(found: Survey, fraction: float, run: Path) -> Parts:
    """Return the parts; write lists into the run's folder where the data have no validation part, or broken images.

    The same data give the same parts.

    Args:
        fraction: of each class for validation, where there is no validation part.
        run: the run's folder.

    Raises:
        DataError: the data cannot be split, or broken images cannot be left out of them.
        MachineError: a list cannot be written.
    """
    layout = found.layout
    if layout.val is None:
        return _split(found, fraction, run)
    if found.broken or found.val_broken:
        return _without_broken(found, run)
    train = dict(layout.train)
    notes = []
    if found.sample is not None:
        train["on_error"] = "skip"
        notes.append("not all images were read: broken ones are replaced by the next good one, and listed")
    return Parts(train, dict(layout.val), found.images, sum(layout.val_counts.values()), notes)


def _split(found: Survey, fraction: float, run: Path) -> Parts:
    dataset = _files(found)
    findings = found.findings if found.sample is None else [Finding()] * len(dataset)
    split = split_samples(dataset.labels, findings, fraction, _SEED)
    names, root = class_names(found.layout), Path(found.layout.train["image_root"])
    _require_training(found.layout, names, dataset.labels[split.train])
    _write(run, names, format_list(dataset, split.train, root), format_list(dataset, split.val, root))
    notes = [f"chosen here: {fraction:.0%} of each class to validate with".replace("%", " %")]
    copies = sum(map(len, split.near_duplicates))
    if found.sample is not None:
        notes.append("near copies were not searched for among so many images")
    elif copies:
        notes.append(f"{copies:,} near copies are kept on one side")
    lacking = sorted(set(dataset.labels.tolist()) - set(dataset.labels[split.val].tolist()))
    if lacking:
        notes.append(f"no image to validate with, because all are near copies: {listed([names[id] for id in lacking])}")
    notes += _note_of_broken([f"{dataset.describe(index)}: {reason}" for index, reason in split.broken])
    on_error = {} if found.sample is None else {"on_error": "skip"}
    train, val = (_list_section(root, run / name) for name in FILES[:2])
    return Parts({**train, **on_error}, val, len(split.train), len(split.val), notes)


def _without_broken(found: Survey, run: Path) -> Parts:
    """Return the parts as lists without the images that cannot be read."""
    layout = found.layout
    dataset = _files(found)
    assert layout.val is not None
    val_dataset = build_dataset(layout.val, train=False)
    assert isinstance(val_dataset, FileDataset)
    names = class_names(layout)
    # Folders of the validation part are numbered among themselves.
    val_names = val_dataset.class_names or [str(label) for label in val_dataset.list_labels or ()] or names
    new_ids = {label: names.index(name) for label, name in enumerate(val_names) if name in names}
    root = layout.path if layout.kind == "train_val" else Path(layout.train["image_root"])
    kept = _others(len(dataset), found.broken)
    kept_val = _others(len(val_dataset), found.val_broken)
    _require_training(layout, names, dataset.labels[kept])
    _write(run, names, format_list(dataset, kept, root), format_list(val_dataset, kept_val, root, new_ids))
    broken = [dataset.describe(index) for index in found.broken]
    broken += [val_dataset.describe(index) for index in found.val_broken]
    train, val = (_list_section(root, run / name) for name in FILES[:2])
    return Parts(train, val, len(kept), len(kept_val), _note_of_broken(broken))


def _require_training(layout: Layout, names: Sequence[str], labels: np.ndarray) -> None:
    """Refuse classes without an image to train with.

    Args:
        labels: of the images to train with.

    Raises:
        DataError: there are some.
    """
    lost = sorted(set(range(len(names))) - set(labels.tolist()))
    if lost:
        raise DataError(
            f"{layout.path}: no image that can be read is left to train with in {len(lost):,} of {len(names):,} "
            f"classes: {listed([names[label] for label in lost])}"
        )


def _write(run: Path, names: Sequence[str], train: str, val: str) -> None:
    for file, text in zip(FILES, (train, val, format_class_names(names))):
        atomic.write_text(run / file, text)


def class_names(layout: Layout) -> List[str]:
    """Return the names of a layout's classes by class id; their numbers where they have none."""
    return layout.class_names or list(layout.counts)


def _files(found: Survey) -> FileDataset:
    """Return the data set, whose images are files.

    Raises:
        DataError: they are in shards.
    """
    if isinstance(found.dataset, FileDataset):
        return found.dataset
    if found.layout.val is None:
        raise DataError(
            f"{found.layout.path}: the shards have no validation part; pack one with `ppcls pack-data --prefix val`, "
            f"beside shards that begin with train"
        )
    raise DataError(
        f"{found.layout.path}: {len(found.broken) + len(found.val_broken):,} images of the shards cannot be read; pack "
        f"them again with `ppcls pack-data --skip-broken`"
    )


def _list_section(root: Path, path: Path) -> Section:
    return {"name": "ImageNetDataset", "image_root": str(root), "cls_label_path": str(path)}


def _others(count: int, left_out: Sequence[int]) -> List[int]:
    without = set(left_out)
    return [index for index in range(count) if index not in without]


def _note_of_broken(broken: Sequence[str]) -> List[str]:
    if not broken:
        return []
    what = "1 image cannot be read and is left out" if len(broken) == 1 else f"{len(broken):,} images cannot be read"
    return [f"{what}{'' if len(broken) == 1 else ' and are left out'}: {listed(broken, 3)}"]
