"""The data of a recipe: loaders, and how many images make an update."""

from __future__ import annotations

import contextlib
from typing import Callable, Iterator, List, Optional, Tuple

from ppcls.config.schema import Config
from ppcls.data.build import build_dataset, check_files
from ppcls.data.build import build_loader as build_from_section
from ppcls.data.datasets import SUPPLIED_DATASET, Dataset
from ppcls.data.loader import DataLoader
from ppcls.engine.answers import require_same_labels
from ppcls.engine.checks import require_split
from ppcls.errors import ConfigError, DataError
from ppcls.utils import distributed
from ppcls.utils.logging import warn_once


def open_dataset(config: Config, name: str, supplied: Optional[Dataset] = None) -> Dataset:
    """Return the data set of ``DataLoader.Train`` or ``DataLoader.Eval``.

    Args:
        supplied: what the recipe calls ``SuppliedDataset``; a stage may name another one.

    Raises:
        ConfigError, DataError: the section is wrong, or its data are missing or malformed.
    """
    section = require_split(config, name).dataset.model_dump()
    if section["name"] == SUPPLIED_DATASET and supplied is not None:
        return supplied
    with _located(config, name):
        return build_dataset(section, train=name == "Train")


def build_loader(
    config: Config,
    name: str,
    dataset: Optional[Dataset] = None,
    align: Callable[[Dataset], Tuple[Dataset, List[str]]] = lambda dataset: (dataset, []),
    tta: str = "none",
) -> DataLoader:
    """Build the loader of ``DataLoader.Train`` or ``DataLoader.Eval``; labels are checked against Arch.class_num.

    Args:
        dataset: from ``open_dataset``; None opens it.
        align: gives the data set the class ids of the model, and notes for the log.
        tta: test-time augmentation, a value of ``Infer.tta``.

    Raises:
        ConfigError, DataError: the section is wrong, or its data are missing or malformed.
    """
    section = require_split(config, name).model_dump()
    dataset = open_dataset(config, name) if dataset is None else dataset
    with _located(config, name):
        dataset, notes = align(dataset)
        for note in notes:
            warn_once("DataLoader.%s: %s", name, note)
        loader = build_from_section(
            {**section, "tta": tta},
            train=name == "Train",
            seed=config.Global.seed,
            class_num=config.Arch.class_num,
            rank=distributed.rank(),
            num_replicas=distributed.world_size(),
            progressive_epochs=progressive_epochs(config) if name == "Train" else None,
            dataset=dataset,
        )
        if config.Global.check_files == "all":
            check_files(loader)
    require_same_labels(config, loader.dataset, name)
    return loader


@contextlib.contextmanager
def _located(config: Config, name: str) -> Iterator[None]:
    """Begin errors with the side that they are of: both have the same keys."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise type(error)(f"{_origin(config, name, str(error))}DataLoader.{name}: {error}") from error.__cause__


def progressive_epochs(config: Config) -> Optional[int]:
    """Return the number of epochs that ``Global.train_mode: progressive`` divides into stages; None without it.

    Raises:
        ConfigError: the recipe does not say how many epochs there are.
    """
    if config.Global.train_mode != "progressive":
        return None
    if config.Global.epochs is None:
        raise ConfigError("Global.epochs: progressive training needs it: its stages are parts of all epochs")
    return config.Global.epochs


def _origin(config: Config, name: str, message: str) -> str:
    """Return "file:line: " of the data set's key that a message begins with, "" where it begins with none."""
    key = message.partition(":")[0]
    known = key in require_split(config, name).dataset.arguments
    return f"{config.where('DataLoader', name, 'dataset', key)}: " if known else ""


def global_batch_size(config: Config) -> int:
    """Return how many images make one update: of all processes, and of all batches that are accumulated."""
    return require_split(config, "Train").sampler.batch_size * distributed.world_size() * config.Global.update_freq
