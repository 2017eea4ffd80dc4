"""From a recipe's ``DataLoader.Train`` or ``DataLoader.Eval`` to a loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.datasets import DATASETS, Dataset, check_labels
from ppcls.data.loader import DataLoader
from ppcls.data.samplers import SAMPLERS, DistributedBatchSampler
from ppcls.data.transforms import build_transforms
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

_OWN_KEYS = ("name", "transform_ops", "batch_transform_ops")
_SHARING_KEYS = ("name", "val_fraction", "split_seed")


def build_dataset(section: Mapping[str, Any], train: bool) -> Dataset:
    """Build the data set of a recipe's ``dataset`` section; its transforms are left aside.

    Args:
        section: as in the recipe.
        train: whether it is for training; data sets that have both parts take theirs.

    Raises:
        ConfigError: the section is wrong.
        DataError: files are missing or malformed.
    """
    if "name" not in section:
        raise ConfigError("dataset.name: missing")
    arguments = {key: value for key, value in section.items() if key not in _OWN_KEYS}
    dataset: Dataset = DATASETS.build(section["name"], arguments, train=train)
    return dataset


def check_shared_folder(train: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
    """Check that two ``dataset`` sections that share a folder out (``val_fraction``) agree about it.

    Raises:
        ConfigError: images would be in both parts, or in neither.
    """
    if train.get("val_fraction") is None and evaluation.get("val_fraction") is None:
        return
    differing = [key for key in _SHARING_KEYS if (train.get(key) or None) != (evaluation.get(key) or None)]
    if _folder(train) != _folder(evaluation):
        # Another folder may be evaluated as a whole, whatever the training left out of its own.
        differing = ["image_root"] if evaluation.get("val_fraction") is not None else []
    if differing:
        key = differing[0]
        values = [repr(section[key]) if key in section else "not given" for section in (train, evaluation)]
        raise ConfigError(
            f"dataset.{key}: {values[0]} in DataLoader.Train and {values[1]} in DataLoader.Eval; with "
            f"val_fraction both need the same image_root, {', '.join(_SHARING_KEYS)}"
        )


def _folder(section: Mapping[str, Any]) -> Path:
    return user_path(str(section.get("image_root"))).resolve()


def build_loader(
    section: Mapping[str, Any],
    *,
    train: bool,
    seed: int,
    class_num: Optional[int],
    rank: int = 0,
    num_replicas: int = 1,
) -> DataLoader:
    """Build the loader of one side of a recipe's ``DataLoader``.

    Args:
        section: "dataset", "sampler" and "loader", as in the recipe.
        train: whether it is for training.
        seed: of the order and of random transforms.
        class_num: how many classes the model has, to check the labels; None does not check them.
        rank: which process this is.
        num_replicas: how many processes share the data.

    Raises:
        ConfigError: the section is wrong.
        DataError: the data set is missing, malformed or too small, or its labels do not fit the model.
    """
    transforms = build_transforms(section["dataset"].get("transform_ops") or [])
    dataset = build_dataset(section["dataset"], train)
    if class_num is not None:
        check_labels(dataset, class_num)
    batch_ops = section["dataset"].get("batch_transform_ops")
    if batch_ops and class_num is None:
        raise ConfigError("batch_transform_ops: mixed targets need the number of classes")
    settings = section.get("loader") or {}
    return DataLoader(
        dataset,
        transforms,
        _sampler(section, dataset, seed, num_replicas, rank),
        seed=seed,
        num_workers=settings.get("num_workers", 0),
        use_shared_memory=settings.get("use_shared_memory", True),
        train=train,
        mix=BatchCompose(batch_ops, class_num) if batch_ops and class_num is not None else None,
    )


def _sampler(
    section: Mapping[str, Any], dataset: Dataset, seed: int, num_replicas: int, rank: int
) -> DistributedBatchSampler:
    """Return the sampler of one side of a recipe's ``DataLoader``."""
    arguments = dict(section.get("sampler") or {})
    name = arguments.pop("name", "DistributedBatchSampler")
    provided = {
        "length": len(dataset),
        "labels": dataset.labels,
        "boundaries": dataset.boundaries,
        "seed": seed,
        "num_replicas": num_replicas,
        "rank": rank,
    }
    sampler: DistributedBatchSampler = SAMPLERS.build(name, arguments, **provided)
    return sampler
