"""The class names of a recipe's model: of a file, of the run that trained it, or ImageNet's."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ppcls.arch import list_models, spec
from ppcls.config.schema import Config
from ppcls.data.datasets import Classes, Dataset, align_classes
from ppcls.data.datasets.classes import find_places, known_names
from ppcls.data.datasets.label_files import are_imagenet_folders, choose_names, imagenet_names, read_label_file
from ppcls.engine.checkpointing import checkpoint, saved_classes
from ppcls.engine.data import open_dataset
from ppcls.engine.model import given_weights
from ppcls.errors import ConfigError, DataError
from ppcls.inference.description import Description
from ppcls.utils import imagenet
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger, warn_once
from ppcls.utils.paths import user_path
from ppcls.utils.text import listed

_TRAINING = "DataLoader.Train"  # the owner of the classes in a training run


def class_names(config: Config, weights: str) -> Optional[List[str]]:
    """Return the class names of a model with its weights, None where there are none.

    They are those of ``Infer.PostProcess.class_id_map_file``, else those saved with the weights, else ImageNet's for
    weights that were published for it. Names saved with the weights win over ImageNet's list, and over a file that
    numbers the same classes in another way.

    Args:
        weights: the path that ``load_required_weights`` has returned.

    Raises:
        DataError: the file is malformed.
    """
    saved = saved_classes.class_names(checkpoint.strip_suffix(weights))
    is_for_imagenet = are_imagenet_folders(saved) if saved is not None else _is_for_imagenet(config, weights)
    given = _names_in_file(config, is_for_imagenet)
    if given is not None:
        return choose_names(given, saved, _where_file(config), weights)
    return imagenet_names() if saved is None and is_for_imagenet else saved


def answer_names(config: Config, weights: str) -> Optional[List[str]]:
    """Return the names to answer with, None where there are none.

    They are the class names or, where a list without names was renumbered by ``relabel``, the labels in it as text.

    Args:
        weights: as for ``class_names``.

    Raises:
        DataError: the file of the recipe is malformed.
    """
    names = class_names(config, weights)
    saved = saved_classes.classes(checkpoint.strip_suffix(weights)) if names is None else None
    if saved is None or saved.labels is None or len(saved.labels) != config.Arch.class_num:
        return names
    warn_once(
        "%s has no class names: answers have the labels of the list that it was trained on as names (%s)",
        *(weights, listed(saved.labels)),
    )
    return saved.label_names


def model_classes(config: Config, weights: str) -> Optional[Classes]:
    """Return what the class ids of a model mean, None where that is not known.

    Those of its training data are meant, else the names that ``class_names`` gives.

    Args:
        weights: as for ``class_names``.
    """
    saved = saved_classes.classes(checkpoint.strip_suffix(weights))
    names = None if saved is None else saved.names
    if names is None:
        try:
            names = class_names(config, weights=weights)
        except DataError as error:  # the numbers are right without them
            warn_once("%s", error)
    names = names if names is not None and len(names) == config.Arch.class_num else None
    return None if names is None and saved is None else Classes(names, None if saved is None else saved.labels)


def export_classes(described: Description) -> Optional[Classes]:
    """Return what the class ids of an exported model mean, None where that is not known."""
    saved = Classes.from_json(described.values["Model"].get("classes"))
    if saved is None:
        return None if described.class_names is None else Classes(described.class_names)
    if saved.names is not None or described.names_are_labels:
        return saved
    return Classes(described.class_names, saved.labels)


def match_classes(
    config: Config, classes: Optional[Classes], owner: str, dataset: Dataset
) -> Tuple[Dataset, List[str]]:
    """Return the data set of ``DataLoader.Eval`` with the class ids of the model, and notes for the log.

    Classes are matched by name. Where one side has no names they are compared by number, which is a note. Names of the
    model that are not known are those of ``DataLoader.Train``.

    Args:
        classes: of the model, None where they are not known.
        owner: whose classes these are, such as "the model".

    Raises:
        DataError: it has a class that is not among them.
    """
    notes = []
    names = known_names(dataset)
    if names is None and dataset.class_names is not None:
        notes.append(_unused_names(dataset))
    if names is not None and (classes is None or classes.names is None):
        training_names = None if owner == _TRAINING else _names_of_training_data(config)
        if training_names is not None:
            get_logger().info("the classes of %s have no names: those of DataLoader.Train are used", owner)
            classes = Classes(training_names, None if classes is None else classes.labels)
        else:
            notes.append(_without_names(config, owner, len(names)))
    elif classes is None and dataset.list_labels is not None:
        notes.append(f"relabel numbers this list by itself, as it is not known which labels {owner} was trained on")
    if classes is None:
        return dataset, notes
    if classes.names is not None:
        if dataset.unused_names is not None:
            raise DataError(f"{dataset.unused_names}, to compare by number with the classes of {owner}")
        if names is None and not dataset.list_labels:
            dataset = _named_by_recipe(config, dataset, classes.names)
            names = known_names(dataset)
        if names is None:
            advice = "write labels.txt beside the list" if dataset.from_list else "give them class names"
            notes.append(
                f"these data have no class names; labels are compared by number with the classes of {owner}; {advice}"
            )
        elif _number_imagenet(names, classes.names):
            return dataset, notes
    aligned, remarks = align_classes(dataset, classes, owner)
    return aligned, [*notes, *remarks]


def _names_of_training_data(config: Config) -> Optional[List[str]]:
    """Return the class names of ``DataLoader.Train``; None where there are none, or not one for each class."""
    if config.DataLoader.Train is None:
        return None
    try:
        names = known_names(open_dataset(config, "Train"))
    except (ConfigError, DataError):
        return None  # what is wrong with them concerns those who use them
    return names if names is not None and len(names) == config.Arch.class_num else None


def _without_names(config: Config, owner: str, count: int) -> str:
    """Return the note about data with names and a model without them."""
    counts = f" (these data have {count}, and the model {config.Arch.class_num})" * (count != config.Arch.class_num)
    advice = "keep the .pdstates file with the weights, or name the classes with Infer.PostProcess.class_id_map_file"
    if owner == _TRAINING:
        advice = "name them, with labels.txt beside the list"
    return f"the classes of {owner} have no names{counts}; labels are compared by number; {advice}"


def _unused_names(dataset: Dataset) -> str:
    """Return the note about a ``labels.txt`` for other columns than the labels have."""
    return (
        f"labels.txt names {len(dataset.class_names or [])} classes, and the labels have {dataset.labels.shape[1]} "
        f"columns: the names are not used"
    )


def _named_by_recipe(config: Config, dataset: Dataset, names: Sequence[str]) -> Dataset:
    """Return data without names with those of ``class_id_map_file``, where these are the model's in any order."""
    given = config.Infer.PostProcess.class_id_map_file
    is_for_imagenet = list(names) == imagenet_names()
    stands_in = is_for_imagenet and bool(given) and user_path(given or "").name == imagenet.LABEL_LIST.name
    if not given or not (stands_in or user_path(given).is_file()):
        return dataset
    try:
        found = _names_in_file(config, is_for_imagenet)
    except DataError:
        return dataset  # said where names are needed
    if found is None or sorted(found) != sorted(names):
        return dataset
    named = copy.copy(dataset)
    named.class_names = found
    return named


def number_same_classes(names: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether two lists name the same classes in the same order."""
    return find_places(names, others) == list(range(len(names))) or _number_imagenet(names, others)


def _number_imagenet(names: Sequence[str], others: Optional[Sequence[str]]) -> bool:
    """Return whether both name ImageNet's classes, one by folders and the other in words: their order is the same."""
    if others is None or len(names) != imagenet.CLASS_NUM or len(others) != imagenet.CLASS_NUM:
        return False
    words = imagenet_names()
    return (are_imagenet_folders(names) and list(others) == words) or (
        are_imagenet_folders(others) and list(names) == words
    )


def training_class_names(config: Config, dataset: Dataset) -> Optional[List[str]]:
    """Return the class names to keep with the weights: the data set's, else those of the recipe's file."""
    names = known_names(dataset)
    if names is None and dataset.class_names is not None:
        warn_once("DataLoader.Train: %s", _unused_names(dataset))
        return None
    if names is not None:  # with Global.allow_unused_classes there are fewer
        unused = (f"unused_{number}" for number in range(len(names), config.Arch.class_num))
        return [*names, *unused]
    if dataset.unused_names is not None:
        warn_once("%s: the names are not used", dataset.unused_names)
    try:
        return _names_in_file(config, is_for_imagenet=_lists_imagenet(config, dataset))
    except DataError as error:  # it concerns inference: no reason not to train
        warn_once("%s; the checkpoints will not have class names", error)
        return None


def _lists_imagenet(config: Config, dataset: Dataset) -> bool:
    """Return whether a list without names has the images of each class in ImageNet's folder of this class."""
    if config.Arch.class_num != imagenet.CLASS_NUM or not dataset.from_list or dataset.is_multilabel:
        return False
    labels, first = np.unique(dataset.labels, return_index=True)
    return len(labels) == imagenet.CLASS_NUM and are_imagenet_folders(
        [Path(dataset.describe(int(index))).parent.name for index in first]
    )


def _where_file(config: Config) -> str:
    return f"{config.where('Infer', 'PostProcess', 'class_id_map_file')}: class_id_map_file"


def _names_in_file(config: Config, is_for_imagenet: bool) -> Optional[List[str]]:
    """Return the names in the recipe's file; None, with a warning, if it is missing or does not fit the classes.

    Args:
        is_for_imagenet: whether ImageNet's names may stand in for a missing file.

    Raises:
        DataError: it is malformed.
    """
    given, delimiter = config.Infer.PostProcess.class_id_map_file, config.Infer.PostProcess.delimiter
    if not given:
        return None
    where = _where_file(config)
    try:
        return read_label_file(given, delimiter, config.Arch.class_num, where, is_for_imagenet)
    except DataError as error:
        where = config.where("Infer", "PostProcess", "class_id_map_file")
        raise DataError(f"{where}: {error}; without names: -o Infer.PostProcess.class_id_map_file=null") from None


def _is_for_imagenet(config: Config, weights: str) -> bool:
    """Return whether weights without class names are published ones for ImageNet-1k."""
    name, given = config.Arch.name, given_weights(config)
    if config.Arch.class_num != imagenet.CLASS_NUM or name not in list_models():
        return False
    facts = spec(name)
    if facts.class_num != imagenet.CLASS_NUM or facts.url is None:
        return False
    if given is True or given == facts.url:
        return True
    path = Path(weights)
    return facts.sha256 is not None and path.is_file() and sha256(path).startswith(facts.sha256.lower())
