"""The files of a cross-validation: for each fold two lists of images and a recipe, which anybody can train by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ppcls.config.schema import Config
from ppcls.config.show import to_yaml
from ppcls.data.build import build_dataset
from ppcls.data.datasets import count_classes
from ppcls.data.datasets.base import FileDataset
from ppcls.data.datasets.classes import known_names
from ppcls.data.datasets.list_text import format_list
from ppcls.data.datasets.names import format_class_names
from ppcls.data.inspection.scanning import scan_images
from ppcls.engine import load_config
from ppcls.errors import ConfigError
from ppcls.tuning.folds import Folds, classes_without_validation, make_folds
from ppcls.utils import atomic, json_text
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path
from ppcls.utils.text import listed

FOLDER, FILE = "folds", "folds.json"
MATRIX = "ConfusionMatrix"
MAX_MATRIX = 256  # classes; metrics.jsonl has a matrix for each epoch
_SPLIT = ("val_fraction", "split_seed")
_KEPT = ("on_error", "label_ratio")  # arguments of data sets that those of lists have, too

Section = Mapping[str, Any]  # ``dataset`` of one side of ``DataLoader``


def open_samples(section: Section) -> FileDataset:
    """Return the samples that are divided: those of a ``dataset`` section, of which ``val_fraction`` leaves none out.

    Raises:
        ConfigError: they are not in files of their own.
        DataError: they are missing or malformed.
    """
    dataset = build_dataset({key: value for key, value in section.items() if key not in _SPLIT}, train=True)
    if not isinstance(dataset, FileDataset) or "image_root" not in section:
        raise ConfigError(
            f"DataLoader.Train.dataset: {section['name']}: cross-validation divides images in files of their own: "
            f"folders (ImageFolder) or lists (ImageNetDataset, MultiLabelDataset)"
        )
    return dataset


def write_lists(dataset: FileDataset, section: Section, root: Path, count: int, seed: int) -> List[int]:
    """Write the lists of all folds, or find those of an earlier call; return how many images each fold has.

    Raises:
        ConfigError: there are folds of other data, or of another number or seed.
        DataError: the samples do not suffice, or a path cannot be written to a list.
    """
    folder = root / FOLDER
    about = {"folds": count, "seed": seed, "images": len(dataset), "digest": dataset.digest()}
    found = _read(folder / FILE)
    if found is not None:
        pairs = [(key, found.get(key), value) for key, value in about.items()]
        changed = [f"{key} was {before!r} and is {now!r}" for key, before, now in pairs if before != now]
        if changed:
            raise ConfigError(f"--output {root}: holds other folds ({'; '.join(changed)}); choose another folder")
        return list(found["sizes"])
    folds = make_folds(dataset, scan_images(dataset), count, seed)
    texts, root_of_images = {}, user_path(section["image_root"])
    labels = dict(enumerate(dataset.list_labels or [])) if _is_relabelled(dataset) else None
    for fold, held_out in enumerate(folds.members):
        for side, indices in (("train", folds.rest(fold)), ("val", held_out)):
            texts[list_file(root, fold, side)] = format_list(dataset, indices, root_of_images, labels)
    names = known_names(dataset)
    if names is not None:
        texts[folder / "labels.txt"] = format_class_names(names)
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in texts.items():
        atomic.write_text(file, text)
    _log(dataset, folds)
    sizes = [len(part) for part in folds.members]
    broken = [f"{dataset.describe(index)}: {reason}" for index, reason in folds.broken]
    atomic.write_text(folder / FILE, json_text.dumps({**about, "sizes": sizes, "left_out": broken}, indent=1) + "\n")
    return sizes


def _read(file: Path) -> Optional[Dict[str, Any]]:
    """Return what an earlier call wrote last; None if it did not get so far."""
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValueError:
        raise ConfigError(f"{file}: damaged; delete it, and the folds are made again") from None


def list_file(root: Path, fold: int, side: str) -> Path:
    """Return the list of one side ("train" or "val") of a fold, counted from 0."""
    return root / FOLDER / f"fold_{fold + 1}_{side}.txt"


def _is_relabelled(dataset: FileDataset) -> bool:
    """Return whether classes have no names but their labels, which have to stay what they are."""
    return dataset.list_labels is not None and dataset.class_names is None


def _log(dataset: FileDataset, folds: Folds) -> None:
    log = get_logger()
    log.info("%d folds of %d images", len(folds.members), sum(map(len, folds.members)))
    if folds.near_duplicates:
        log.info("%d images are near copies of each other: they stay in one fold", folds.near_duplicates)
    if folds.broken:
        lines = [f"{dataset.describe(index)}: {reason}" for index, reason in folds.broken]
        log.warning("%d broken images are left out:\n  %s", len(lines), listed(lines, 10, "\n  "))
    lacking = classes_without_validation(dataset, folds)
    if lacking:
        log.warning("%d classes have too few images for every fold: some folds are not validated on them", lacking)


def fold_changes(config: Config, dataset: FileDataset, section: Section, root: Path, fold: int) -> Dict[str, Any]:
    """Return the changes of a recipe that make it train on all folds but one, and evaluate on that one.

    Args:
        section: the ``dataset`` section that was divided.
    """
    assert config.DataLoader.Train is not None and config.DataLoader.Eval is not None
    source = {
        "name": "MultiLabelDataset" if dataset.is_multilabel else "ImageNetDataset",
        "image_root": str(section["image_root"]),
        **({"relabel": True} if _is_relabelled(dataset) else {}),
        **{key: section[key] for key in _KEPT if key in section},
    }
    train, evaluation = config.DataLoader.Train.dataset, config.DataLoader.Eval.dataset
    without_errors = {key: value for key, value in source.items() if key != "on_error"}  # broken images are left out
    changes: Dict[str, Any] = {
        "DataLoader.Train.dataset": {
            **source,
            "cls_label_path": str(list_file(root, fold, "train")),
            "transform_ops": train.transform_ops,
            **({"batch_transform_ops": train.batch_transform_ops} if train.batch_transform_ops else {}),
        },
        "DataLoader.Eval.dataset": {
            **without_errors,
            "cls_label_path": str(list_file(root, fold, "val")),
            "transform_ops": evaluation.transform_ops,
        },
        "Global.output_dir": str(root / fold_name(fold)),
        "Global.checkpoints": "auto",
    }
    if not config.has_class_num:
        changes["Arch.class_num"] = count_classes(dataset)[0]
    classes = changes.get("Arch.class_num", config.Arch.class_num)
    if not dataset.is_multilabel and classes <= MAX_MATRIX and not _has_matrix(config):
        changes["Metric.Eval"] = [*_metrics(config, classes), {MATRIX: None}]
    return changes


def fold_name(fold: int) -> str:
    """Return the name of a fold's folder."""
    return f"fold_{fold + 1}"


def _has_matrix(config: Config) -> bool:
    return any(MATRIX in item for item in config.Metric.Eval or [])


def _metrics(config: Config, classes: int) -> List[Any]:
    """Return the metrics of evaluation, those of a recipe that names none included."""
    return list(config.Metric.Eval or [{"TopkAcc": {"topk": sorted({1, min(5, classes)})}}])


def write_recipe(recipe: Any, changes: Sequence[Any], root: Path, fold: int) -> Config:
    """Write the recipe of a fold, and return it as it is read again.

    Raises:
        ConfigError: every mistake in it.
    """
    config = load_config(recipe, changes)
    file = recipe_file(root, fold)
    atomic.write_text(file, to_yaml(config, origins=False, imports=True))
    return load_config(str(file))


def recipe_file(root: Path, fold: int) -> Path:
    """Return the recipe of a fold."""
    return root / FOLDER / f"{fold_name(fold)}.yaml"
