"""From a recipe's ``DataLoader.Train`` or ``DataLoader.Eval`` to a loader."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Mapping, Optional

from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.datasets import DATASETS, Dataset, ShardDataset, check_labels
from ppcls.data.datasets.folder import check_fraction
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
        ConfigError: a share makes no sense, or images would be in both parts, or in neither.
    """
    for side, section in (("Train", train), ("Eval", evaluation)):
        try:
            check_fraction(section.get("val_fraction"))
        except ConfigError as error:
            raise ConfigError(f"DataLoader.{side}.dataset.{error}") from None
    if train.get("val_fraction") is None and evaluation.get("val_fraction") is None:
        return
    differing = [key for key in _SHARING_KEYS if (train.get(key) or None) != (evaluation.get(key) or None)]
    if _folder(train) != _folder(evaluation):
        # Another folder may be evaluated as a whole, whatever the training left out of its own.
        differing = ["image_root"] if evaluation.get("val_fraction") is not None else []
    if differing:
        key = differing[0]
        values = [_written(section, key) for section in (train, evaluation)]
        raise ConfigError(
            f"dataset.{key}: {values[0]} in DataLoader.Train and {values[1]} in DataLoader.Eval; with "
            f"val_fraction both need the same image_root, {', '.join(_SHARING_KEYS)}"
        )


def _written(section: Mapping[str, Any], key: str) -> str:
    if key not in section:
        return "not given"
    return "null" if section[key] is None else repr(section[key])


def check_shared_shards(train: Dataset, evaluation: Dataset) -> None:
    """Check that no shard is trained on and evaluated.

    Raises:
        ConfigError: some are.
    """
    if not (isinstance(train, ShardDataset) and isinstance(evaluation, ShardDataset)):
        return
    both = sorted({path.resolve() for path in train.paths()} & {path.resolve() for path in evaluation.paths()})
    if both:
        which = f"{both[0]} and {len(both) - 1} more are" if both[1:] else f"{both[0]} is"
        raise ConfigError(
            f"dataset.shards: {which} in DataLoader.Train and in DataLoader.Eval: what was trained on would be "
            f"evaluated; give both sides their own shards, as in 'train-*.tar' and 'val-*.tar', or set "
            f"Global.eval_during_train: false"
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
    dataset: Optional[Dataset] = None,
) -> DataLoader:
    """Build the loader of one side of a recipe's ``DataLoader``.

    Args:
        section: "dataset", "sampler" and "loader", as in the recipe.
        train: whether it is for training.
        seed: of the order and of random transforms.
        class_num: how many classes the model has, to check the labels; None does not check them.
        rank: which process this is.
        num_replicas: how many processes share the data.
        dataset: instead of the one that the section names.

    Raises:
        ConfigError: the section is wrong.
        DataError: the data set is missing, malformed or too small, or its labels do not fit the model.
    """
    transforms = build_transforms(section["dataset"].get("transform_ops") or [])
    dataset = build_dataset(section["dataset"], train) if dataset is None else dataset
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
