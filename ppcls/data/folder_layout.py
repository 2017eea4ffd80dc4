"""Which of the usual layouts the images of a folder have, and the ``dataset`` sections of a recipe that read them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Literal, Optional, Sequence, Tuple, Union

import numpy as np

from ppcls.data.build import build_dataset
from ppcls.data.datasets import Dataset
from ppcls.data.datasets.folder import TEST_NAMES, TRAIN_NAMES, VAL_NAMES, split_names
from ppcls.data.datasets.image_list import split_line
from ppcls.data.transforms import image_files
from ppcls.data.transforms.formats import IMAGE_SUFFIXES
from ppcls.errors import DataError
from ppcls.utils.paths import suggest_path, user_path
from ppcls.utils.text import listed, read_lines

Kind = Literal["classes", "train_val", "list", "shards"]
Section = Dict[str, Any]  # ``DataLoader.*.dataset`` without its transforms

_LIST = re.compile(r"(?P<split>.*?)(?P<suffix>_?list)?\.txt", re.IGNORECASE)
_NAMES_OF_CLASSES = re.compile(r"label|class", re.IGNORECASE)  # as in PaddleClas's flowers102_label_list.txt
_SHARD = re.compile(r"(?P<prefix>.*?)(?P<number>[-_.]?\d+)?\.tar")
_MULTI_HOT = re.compile(r"[01](,[01])+")
_LAYOUTS = (
    "one folder per class; train/ and val/ with one folder per class each; train_list.txt and val_list.txt beside the "
    "images; or tar shards"
)


@dataclass(frozen=True)
class Layout:
    """How a folder holds its images.

    Attributes:
        path: the folder, or the list or shard that was given.
        kind: "classes", one folder per class; "train_val", the same below ``train`` and ``val``; "list", list files;
            "shards", tar shards.
        train: the ``dataset`` section of ``DataLoader.Train``, without transforms.
        val: that of ``DataLoader.Eval``; None where there is no validation part.
        class_names: by class id; None where a list or shards have no ``labels.txt``.
        counts: number of images of ``train`` per class, by name, or by the class id as text where there are no names.
        val_counts: the same of ``val``; empty without it.
        is_multilabel: whether an image may have several classes.
        notes: what a user should know about the choice, one sentence each.
    """

    path: Path
    kind: Kind
    train: Section
    val: Optional[Section]
    class_names: Optional[List[str]]
    counts: Dict[str, int]
    val_counts: Dict[str, int] = field(default_factory=dict)
    is_multilabel: bool = False
    notes: List[str] = field(default_factory=list)

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.counts)

    @property
    def shortage(self) -> Optional[str]:
        """Which classes have too few images to train with, and what they need; None if there are none."""
        needed, why = 1, "one to train with"
        if self.val is None:
            needed, why = 2, "one to train with and one to validate with"
        few = [f"{name} ({count})" for name, count in self.counts.items() if count < needed]
        if not few:
            return None
        fewer = "no image" if needed == 1 else f"fewer than {needed} images"
        return (
            f"{self.path}: {len(few):,} of {self.num_classes:,} classes have {fewer}, and each needs at least {why}: "
            f"{listed(few)}; add images, or remove these classes"
        )


def find_layout(path: Union[str, Path], training: bool = True) -> Layout:
    """Return the layout of a folder, a list file or a shard.

    A folder with lists is read by them, whatever else it has; then shards, split folders and class folders are looked
    for. All files are counted, none is opened.

    Args:
        training: whether the images have to be fit to train with; others may be of one class.

    Raises:
        DataError: there is no such folder, it has none of the layouts or no images, it has one class only, or the
            validation part has classes that the training part does not have.
    """
    found = user_path(path)
    if not found.exists():
        raise DataError(f"{found}: no such file or folder (looked for from {Path.cwd()}){suggest_path(found)}")
    layout = _of_file(found) if found.is_file() else _of_folder(found)
    if training:
        _require_classes(layout)
        _require_known_classes(layout)
    return layout


def _of_file(path: Path) -> Layout:
    """Return the layout of a list file or of one shard."""
    if path.name.lower().endswith(".tar"):
        return _layout(path, "shards", _shard_section(path.parent, path.name), None)
    if image_files.is_image(path):
        raise DataError(f"{path}: is one image; give a folder with {_LAYOUTS}")
    return _layout(path, "list", _list_section(path), None)


def _of_folder(folder: Path) -> Layout:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not image_files.is_hidden(entry.name))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from None
    if not entries:
        raise DataError(f"{folder}: is empty; put images there: {_LAYOUTS}")
    files = [entry.name for entry in entries if entry.is_file()]
    folders = [entry.name for entry in entries if entry.is_dir()]
    return (
        _with_lists(folder, files)
        or _with_shards(folder, files)
        or _with_split_folders(folder, folders)
        or _with_class_folders(folder, folders, files)
    )


def _with_lists(folder: Path, files: Sequence[str]) -> Optional[Layout]:
    """Return the layout of a folder with list files; None if it has none.

    Raises:
        DataError: it is not clear which list is for training.
    """
    matches = [(name, match) for name in files for match in [_LIST.fullmatch(name)] if match]
    known = (*TRAIN_NAMES, *VAL_NAMES, *TEST_NAMES)
    splits = {name: match["split"].lower() for name, match in matches if match["split"].lower() in known}
    others = [name for name, match in matches if match["suffix"] and name not in splits]
    others = [name for name in others if not _NAMES_OF_CLASSES.search(name)]
    if not splits and not others:
        return None
    train, val, unused = _choose(splits)
    if train is None and not splits and len(others) == 1:
        train, others = others[0], []
    if train is None:
        raise DataError(
            f"{folder}: which of its lists ({listed([*splits, *others])}) is for training? Call it train_list.txt, and "
            f"the one for validation val_list.txt, or give the list itself"
        )
    section = _list_section(folder / train)
    val_section = None if val is None else _list_section(folder / val)
    return _layout(folder, "list", section, val_section, _notes(splits.get(val or ""), [*unused, *others]))


def _with_shards(folder: Path, files: Sequence[str]) -> Optional[Layout]:
    """Return the layout of a folder of tar shards; None if it has none."""
    groups: Dict[str, str] = {}  # pattern, and the first part of the names
    for name in files:
        match = _SHARD.fullmatch(name)
        if match:
            number = match["number"]
            pattern = f"{match['prefix']}{'' if number[0].isdigit() else number[0]}*.tar" if number else name
            groups[pattern] = match["prefix"].lower()
    if not groups:
        return None
    train, val, unused = _choose(groups)
    if train is None:
        return _layout(folder, "shards", _shard_section(folder, "*.tar"), None)
    val_section = None if val is None else _shard_section(folder, val)
    return _layout(folder, "shards", _shard_section(folder, train), val_section, _notes(groups.get(val or ""), unused))


def _with_split_folders(folder: Path, folders: Sequence[str]) -> Optional[Layout]:
    """Return the layout of a folder with ``train`` and ``val``; None if it has no split folders.

    Raises:
        DataError: there is nothing to train with.
    """
    splits = split_names(folders)
    if not splits:
        return None
    train, val, unused = _choose({name: name.lower() for name in splits})
    if train is None:
        raise DataError(f"{folder}: has {', '.join(splits)}, and no folder train to train with")
    others = [name for name in folders if name not in splits]
    sections = [None if name is None else _split_section(folder / name) for name in (train, val)]
    assert sections[0] is not None
    kind: Kind = "shards" if sections[0]["name"] == "ShardDataset" else "train_val" if val is not None else "classes"
    return _layout(folder, kind, sections[0], sections[1], _notes((val or "").lower(), [*unused, *others]))


def _split_section(folder: Path) -> Section:
    has_shards = any(path.is_file() for path in folder.glob("*.tar"))
    return _shard_section(folder, "*.tar") if has_shards else _folder_section(folder)


def _with_class_folders(folder: Path, folders: Sequence[str], files: Sequence[str]) -> Layout:
    """Return the layout of a folder with one folder per class.

    Raises:
        DataError: there are no folders, or no images in them.
    """
    images = [name for name in files if image_files.is_image(folder / name)]
    if not folders and images:
        raise DataError(
            f"{folder}: has images and no folders: nothing says their classes. Make one folder per class and move "
            f"the images there"
        )
    if not folders:
        raise DataError(f"{folder}: no images in it ({' '.join(IMAGE_SUFFIXES)}); needed are {_LAYOUTS}")
    if not any(image_files.find(folder / name).images for name in folders):
        raise DataError(f"{folder}: no images ({' '.join(IMAGE_SUFFIXES)}) in any of its {len(folders):,} folders")
    return _layout(folder, "classes", _folder_section(folder), None)


def _choose(splits: Dict[str, str]) -> Tuple[Optional[str], Optional[str], List[str]]:
    """Return what is for training, what is for validation (a test part, if there is no other), and what is not used.

    Args:
        splits: what there is, and the name of its split.
    """
    train = next((name for split in TRAIN_NAMES for name in splits if splits[name] == split), None)
    val = next((name for split in (*VAL_NAMES, *TEST_NAMES) for name in splits if splits[name] == split), None)
    return train, val, [name for name in splits if name not in (train, val)]


def _notes(val_split: Optional[str], unused: Sequence[str]) -> List[str]:
    """Return what a user should know about the choice of ``_choose``."""
    notes = [f"not used: {listed(unused)}"] if unused else []
    if val_split in TEST_NAMES:
        notes.append("the test part chooses the best epoch, so accuracy on it is a little too good")
    return notes


def _folder_section(folder: Path) -> Section:
    return {"name": "ImageFolder", "image_root": str(folder)}


def _shard_section(folder: Path, pattern: str) -> Section:
    return {"name": "ShardDataset", "image_root": str(folder), "shards": pattern}


def _list_section(path: Path) -> Section:
    lines = (line for _, line in read_lines(path) if line.strip())
    first = next(lines, "")
    _, label = split_line(first, "\t")
    kind = "MultiLabelDataset" if _MULTI_HOT.fullmatch(label.replace(" ", "")) else "ImageNetDataset"
    return {"name": kind, "image_root": str(path.parent), "cls_label_path": str(path)}


def _layout(path: Path, kind: Kind, train: Section, val: Optional[Section], notes: Sequence[str] = ()) -> Layout:
    """Return a layout with what the data sets of its sections say."""
    dataset = build_dataset(train, train=True)
    said = list(notes)
    if _needs_relabel(dataset):
        train = {**train, "relabel": True}
        val = None if val is None else {**val, "relabel": True}
        dataset = build_dataset(train, train=True)
        said.append(f"the labels are not 0, 1, 2, ...: renumbered in their order ({listed(dataset.list_labels or [])})")
    val_dataset = None if val is None else build_dataset(val, train=False)
    return Layout(
        path=path,
        kind=kind,
        train=train,
        val=val,
        class_names=dataset.class_names,
        counts=_counts(dataset, dataset.class_names),
        val_counts={} if val_dataset is None else _counts(val_dataset, val_dataset.class_names or dataset.class_names),
        is_multilabel=dataset.is_multilabel,
        notes=said,
    )


def _needs_relabel(dataset: Dataset) -> bool:
    """Return whether a list without names has labels other than 0, 1, 2, ..., such as 1, 2, 3."""
    if not dataset.from_list or dataset.is_multilabel or dataset.class_names is not None:
        return False
    return bool(np.unique(dataset.labels).size != dataset.labels.max() + 1)


def _counts(dataset: Dataset, names: Optional[Sequence[str]]) -> Dict[str, int]:
    """Return the number of images per class, by name; classes without a name by their label."""
    labels = dataset.labels
    counts = labels.sum(0).astype(int) if dataset.is_multilabel else np.bincount(labels, minlength=len(names or ()))
    texts = list(names or map(str, dataset.list_labels or ()))
    texts += [str(number) for number in range(len(texts), len(counts))]
    return dict(zip(texts, counts.tolist()))


def _require_classes(layout: Layout) -> None:
    """Refuse data of one class, and say where more may be.

    Raises:
        DataError: there is one class.
    """
    if layout.num_classes > 1:
        return
    name = next(iter(layout.counts))
    root = Path(layout.train["image_root"])
    inner = root / name
    advice = "; at least two are needed"
    if layout.train["name"] == "ImageFolder" and inner.is_dir():
        below = sorted(path.name for path in inner.iterdir() if path.is_dir() and not image_files.is_hidden(path.name))
        if len(below) > 1:
            advice = f"; its folders ({listed(below, 5)}) may be the classes: give {inner}"
    raise DataError(f"{layout.path}: has one class, {name}{advice}")


def _require_known_classes(layout: Layout) -> None:
    """Refuse validation images of classes that training does not know.

    Raises:
        DataError: there are some.
    """
    unknown = [name for name, count in layout.val_counts.items() if count and name not in layout.counts]
    if unknown:
        raise DataError(
            f"{layout.path}: the validation part has classes that the training part does not have: {listed(unknown)}; "
            f"add training images, or remove these"
        )
