"""Build data sets and loaders from a recipe's ``DataLoader.Train`` and ``DataLoader.Eval``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional

from ppcls.data.batch_transforms import BatchCompose
from ppcls.data.datasets import DATASETS, Dataset, ShardDataset, check_labels
from ppcls.data.datasets.base import FileDataset
from ppcls.data.datasets.folder import check_val_fraction
from ppcls.data.datasets.items import ItemDataset
from ppcls.data.loader import DataLoader
from ppcls.data.samplers import SAMPLERS, DistributedBatchSampler
from ppcls.data.transforms import build_transforms
from ppcls.data.transforms.views import with_views
from ppcls.errors import ConfigError
from ppcls.utils.paths import user_path

_NOT_DATASET_ARGUMENTS = ("name", "transform_ops", "batch_transform_ops")
_SPLIT_KEYS = ("name", "val_fraction", "split_seed")


def build_dataset(section: Mapping[str, Any], train: bool) -> Dataset:
    """Build the data set of a recipe's ``dataset`` section, without its transforms.

    Args:
        section: as in the recipe.
        train: whether to take the training or the evaluation part of data sets that have both.

    Raises:
        ConfigError: the section is wrong.
        DataError: files are missing or malformed.
    """
    if "name" not in section:
        raise ConfigError("dataset.name: missing")
    arguments = {key: value for key, value in section.items() if key not in _NOT_DATASET_ARGUMENTS}
    name = section["name"]
    dataset = DATASETS.build(name, arguments, train=train)
    return dataset if isinstance(dataset, Dataset) else ItemDataset(dataset, name, DATASETS[name].source)


def check_validation_split(train: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
    """Check that two ``dataset`` sections that split one folder with ``val_fraction`` split it the same way.

    Raises:
        ConfigError: a fraction is out of range, or images would be in both parts or in neither.
    """
    for split, section in (("Train", train), ("Eval", evaluation)):
        try:
            check_val_fraction(section.get("val_fraction"))
        except ConfigError as error:
            raise ConfigError(f"DataLoader.{split}.dataset.{error}") from None
    if train.get("val_fraction") is None and evaluation.get("val_fraction") is None:
        return
    differing = [key for key in _SPLIT_KEYS if (train.get(key) or None) != (evaluation.get(key) or None)]
    if _folder(train) != _folder(evaluation):
        # A different folder may be evaluated as a whole, even if training leaves out a part of its own folder.
        differing = ["image_root"] if evaluation.get("val_fraction") is not None else []
    if differing:
        key = differing[0]
        values = [_value_text(section, key) for section in (train, evaluation)]
        raise ConfigError(
            f"dataset.{key}: {values[0]} in DataLoader.Train and {values[1]} in DataLoader.Eval; with "
            f"val_fraction both need the same image_root, {', '.join(_SPLIT_KEYS)}"
        )


def _value_text(section: Mapping[str, Any], key: str) -> str:
    if key not in section:
        return "not given"
    return "null" if section[key] is None else repr(section[key])


def check_disjoint_shards(train: Dataset, evaluation: Dataset) -> None:
    """Check that no shard is used for both training and evaluation.

    Raises:
        ConfigError: at least one is.
    """
    if not (isinstance(train, ShardDataset) and isinstance(evaluation, ShardDataset)):
        return
    common = sorted({path.resolve() for path in train.paths()} & {path.resolve() for path in evaluation.paths()})
    if common:
        shards = f"{common[0]} and {len(common) - 1} more are" if common[1:] else f"{common[0]} is"
        raise ConfigError(
            f"dataset.shards: {shards} in DataLoader.Train and in DataLoader.Eval: the evaluation would use training "
            f"data; give both sides their own shards, as in 'train-*.tar' and 'val-*.tar', or set "
            f"Global.eval_during_train: false"
        )


def shared_files(train: Dataset, evaluation: Dataset) -> List[str]:
    """Return the files that are used for both training and evaluation, sorted."""
    if not (isinstance(train, FileDataset) and isinstance(evaluation, FileDataset)):
        return []
    return sorted(set(evaluation.files()).intersection(train.files()))


def check_files(loader: DataLoader) -> None:
    """Look for all files of a loader's data set, unless missing ones are skipped. Each process looks for its share.

    Raises:
        DataError: some are missing, empty or no regular files.
    """
    dataset = loader.dataset
    if isinstance(dataset, FileDataset) and dataset.on_error != "skip":
        dataset.check_files(range(loader.sampler.rank, len(dataset), loader.sampler.num_replicas))


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
    progressive_epochs: Optional[int] = None,
) -> DataLoader:
    """Build the loader of a recipe's ``DataLoader.Train`` or ``DataLoader.Eval``.

    Args:
        section: "dataset", "sampler" and "loader", as in the recipe; in an evaluation also "tta", the views of each
            image, a value of ``Infer.tta``.
        train: whether it is for training.
        seed: seed of the sample order and of random transforms.
        class_num: number of the model's classes, to check the labels; None does not check them.
        rank: rank of this process.
        num_replicas: number of processes that share the data.
        dataset: used instead of the data set that the section names.
        progressive_epochs: number of epochs that progressive training divides into stages; None without it.

    Raises:
        ConfigError: the section is wrong.
        DataError: the data set is missing, malformed or too small, or its labels do not fit the model.
    """
    transforms = build_transforms(section["dataset"].get("transform_ops") or [])
    tta = section.get("tta", "none")
    transforms = transforms if tta == "none" else with_views(transforms, tta)
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
        _build_sampler(section, dataset, seed, num_replicas, rank),
        seed=seed,
        num_workers=settings.get("num_workers", 0),
        use_shared_memory=settings.get("use_shared_memory", True),
        train=train,
        batch_transforms=BatchCompose(batch_ops, class_num) if batch_ops and class_num is not None else None,
        progressive_epochs=progressive_epochs,
        test_time_views=tta != "none",
    )


def _build_sampler(
    section: Mapping[str, Any], dataset: Dataset, seed: int, num_replicas: int, rank: int
) -> DistributedBatchSampler:
    arguments = dict(section.get("sampler") or {})
    name = arguments.pop("name", "DistributedBatchSampler")
    injected = {
        "length": len(dataset),
        "labels": dataset.labels,
        "boundaries": dataset.boundaries,
        "seed": seed,
        "num_replicas": num_replicas,
        "rank": rank,
    }
    sampler: DistributedBatchSampler = SAMPLERS.build(name, arguments, **injected)
    return sampler
