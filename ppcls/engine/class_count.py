"""``Arch.class_num`` where the recipe leaves it out: that of the data, or of the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Mapping, Optional, Tuple

from ppcls.arch import list_models, spec
from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset, count_classes
from ppcls.engine.checkpointing import saved_classes
from ppcls.engine.checkpointing.checkpoint import strip_suffix
from ppcls.engine.data import open_dataset
from ppcls.engine.model import given_weights, weights_path
from ppcls.errors import ConfigError, DataError, PpclsError
from ppcls.utils.logging import NOT_ON_TERMINAL, get_logger
from ppcls.weights.class_count import class_num_in_file
from ppcls.weights.download import is_url


def for_training(config: Config, supplied: Optional[Dataset] = None) -> Tuple[Config, Optional[Dataset]]:
    """Return the recipe with the class count of its training data, and these data if they were opened for it.

    Args:
        supplied: what the recipe calls ``SuppliedDataset``.

    Raises:
        ConfigError, DataError: the data are wrong, or the models of a distillation have other class counts.
    """
    if config.has_class_num:
        return config, None
    dataset = open_dataset(config, "Train", supplied)
    resolved = _from_data(config, "Train", dataset)
    _log(resolved)
    models = config.Distillation.models or {} if config.Distillation is not None else {}
    for name, model in models.items():
        count = model.arguments.get("class_num", resolved.Arch.class_num)
        if count != resolved.Arch.class_num:
            raise ConfigError(
                f"{config.where('Distillation', 'models', name, 'class_num')}: Distillation.models.{name}.class_num: "
                f"{count}, and the training data have {resolved.Arch.class_num} classes; leave it out"
            )
    return resolved, dataset


def for_weights(config: Config, data_first: bool = False) -> Config:
    """Return the recipe with the class count of its weights: of a checkpoint, of published ones, or of the file's head.

    Where they do not tell it, it is that of the data, else 1000.

    Args:
        data_first: whether the data come before the head in a file of others, which says nothing of its classes but
            their number: in an evaluation, another number of classes is an error, not another way to count.
    """
    if config.has_class_num:
        return config
    sources = [_from_head, _from_available_data]
    resolved = _from_weights(config)
    for source in reversed(sources) if data_first else sources:
        resolved = resolved or source(config)
    resolved = resolved or config
    _log(resolved)
    return resolved


def for_display(config: Config, datasets: Optional[Mapping[str, Dataset]] = None) -> Config:
    """Return the recipe with the class count that training would have, as far as that is known here.

    Args:
        datasets: those of the recipe that are open already, by "Train" and "Eval".
    """
    if config.has_class_num:
        return config
    is_local = not is_url(str(given_weights(config)))
    available = _from_available_data(config, datasets) or _from_weights(config)
    return available or (_from_head(config) if is_local else None) or config


def _log(config: Config) -> None:
    default = "the default: neither weights nor data tell the count"
    where = config.where("Arch", "class_num") if config.has_class_num else default
    text = "Arch.class_num is not in the recipe: %d (%s)"
    get_logger().info(text, config.Arch.class_num, where, extra=NOT_ON_TERMINAL)


def _from_data(config: Config, name: str, dataset: Dataset) -> Config:
    count, reason = count_classes(dataset)
    return config.with_class_num(count, f"inferred from DataLoader.{name}: {reason}")


def _from_available_data(config: Config, datasets: Optional[Mapping[str, Dataset]] = None) -> Optional[Config]:
    """Return the recipe with the class count of its data, None where they are not here."""
    for name in ("Train", "Eval"):
        if getattr(config.DataLoader, name) is None:
            continue
        try:
            dataset = (datasets or {}).get(name)
            return _from_data(config, name, open_dataset(config, name) if dataset is None else dataset)
        except (ConfigError, DataError):
            continue  # what is wrong with them concerns those who use them
    return None


def _from_weights(config: Config) -> Optional[Config]:
    """Return the recipe with the class count of its weights, None where it is not known."""
    weights = given_weights(config)
    published = spec(config.Arch.name) if config.Arch.name in list_models() else None
    if weights and published is not None and published.url is not None and weights in (True, published.url):
        return config.with_class_num(published.class_num, "of the published weights")
    if not isinstance(weights, str) or is_url(weights):
        return None
    prefix = strip_suffix(weights)
    try:
        count = saved_classes.class_num(prefix)
    except PpclsError:
        count = None
    return None if count is None else config.with_class_num(count, f"inferred from {prefix}.pdstates")


def _from_head(config: Config) -> Optional[Config]:
    """Return the recipe with as many classes as the classifier in its weight file has, None where it has none."""
    if not isinstance(given_weights(config), str):
        return None
    try:
        path = weights_path(config)
        assert path is not None
        count = class_num_in_file(Path(path), config.Arch.name, config.Global.weights_key, config.student)
    except PpclsError:  # said when they are loaded
        return None
    return None if count is None else config.with_class_num(count, f"that of the classifier in {path}")
