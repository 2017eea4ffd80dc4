"""The class names of a recipe's model: of a file, of the run that trained it, or ImageNet's."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional

from ppcls.arch import list_models, spec
from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset
from ppcls.data.datasets.names import read_class_names
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.model import given_weights
from ppcls.errors import DataError
from ppcls.utils import imagenet
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

# The names of ImageNet's folders. Their order is that of its classes.
_WORDNET_ID = re.compile(r"n\d{8}")


def class_names(config: Config, weights: str) -> Optional[List[str]]:
    """Return the class names of a model with its weights, None where there are none.

    They are those of ``Infer.PostProcess.class_id_map_file``, else those saved with the weights, else ImageNet's for
    weights that were published for it. ImageNet's names, which most recipes of PaddleClas ask for, do not replace those
    of other classes that are saved with the weights.

    Args:
        weights: the path that ``load_required_weights`` has returned.

    Raises:
        DataError: the file is malformed.
    """
    saved = checkpoint.class_names(checkpoint.strip_suffix(weights))
    given = _names_in_file(config)
    others = saved is not None and not all(map(_WORDNET_ID.fullmatch, saved))
    if given is not None and not (others and given == _imagenet_names()):
        return given
    if saved is not None or not _is_for_imagenet(config, weights):
        return saved
    return _imagenet_names()


def training_class_names(config: Config, dataset: Dataset) -> Optional[List[str]]:
    """Return the class names to keep with the weights: the data set's, else those of the recipe's file."""
    names = dataset.class_names
    if names is not None and len(names) != config.Arch.class_num:
        get_logger().warning(
            "there are names of %d classes (in labels.txt beside the list, or in image_root) and Arch.class_num is "
            "%d: is one of image_root and class_num wrong? The checkpoints will not have class names",
            *(len(names), config.Arch.class_num),
        )
        return None
    if names is not None:
        return names
    try:
        return _names_in_file(config)
    except DataError as error:  # it concerns inference: no reason not to train
        get_logger().warning("%s; the checkpoints will not have class names", error)
        return None


def _names_in_file(config: Config) -> Optional[List[str]]:
    """Return the names in the recipe's file; None, with a warning, if it is missing or does not fit the classes.

    Raises:
        DataError: it is malformed.
    """
    given = config.Infer.PostProcess.class_id_map_file
    if not given:
        return None
    file, delimiter = user_path(given), config.Infer.PostProcess.delimiter
    where = config.where("Infer", "PostProcess", "class_id_map_file")
    if not file.exists() and file.name == imagenet.LABEL_LIST.name:
        get_logger().info("%s: not here; the names of ImageNet's classes that come with ppcls are used", given)
        file, delimiter = imagenet.LABEL_LIST, None
    if not file.exists():
        get_logger().warning("%s: class_id_map_file: no such file: %s; going on without it", where, given)
        return None
    try:
        names = read_class_names(file, delimiter)
    except DataError as error:
        raise DataError(f"{where}: {error}; without names: -o Infer.PostProcess.class_id_map_file=null") from None
    if len(names) == config.Arch.class_num:
        return names
    get_logger().warning(
        "%s: class_id_map_file: %s has %d names for %d classes (Arch.class_num); going on without it",
        *(where, given, len(names), config.Arch.class_num),
    )
    return None


def _imagenet_names() -> List[str]:
    return read_class_names(imagenet.LABEL_LIST)


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
