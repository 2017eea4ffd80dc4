"""The file of class names that a recipe gives, beside the names that a model has, and those of ImageNet."""

from __future__ import annotations

import hashlib
from typing import List, Optional, Sequence

from ppcls.data.datasets.names import read_class_names
from ppcls.utils import imagenet
from ppcls.utils.logging import get_logger, warn_once
from ppcls.utils.paths import user_path


def imagenet_names() -> List[str]:
    """Return the names of ImageNet-1k's classes in words, by class id."""
    return read_class_names(imagenet.LABEL_LIST)


def are_imagenet_folders(names: Sequence[str]) -> bool:
    """Return whether names by class id are those of ImageNet-1k's folders, ``n01440764`` and so on, in their order."""
    if len(names) != imagenet.CLASS_NUM:
        return False
    return hashlib.sha256("\n".join(names).encode("utf-8", "replace")).hexdigest() == imagenet.FOLDERS_SHA256


def read_label_file(
    given: str, delimiter: Optional[str], class_num: int, where: str, is_for_imagenet: bool
) -> Optional[List[str]]:
    """Return the names in a file; None, with a warning, if it is missing or has another number of names.

    Args:
        given: the file, as it was written.
        delimiter: between id and name; None is white space.
        where: the place in the recipe, for messages.
        is_for_imagenet: whether the model's classes are known to be ImageNet's: only then is the list that ships with
            ppcls used. It also stands in for a missing file of its name.

    Raises:
        DataError: the file is malformed.
    """
    file = user_path(given)
    if not file.exists():
        if is_for_imagenet and file.name == imagenet.LABEL_LIST.name:
            get_logger().info("%s: %s does not exist; using the ImageNet names that ship with ppcls", where, given)
            return imagenet_names()
        warn_once("%s: no such file: %s; ignored", where, given)
        return None
    names = read_class_names(file, delimiter)
    if not has_one_name_per_class(names, class_num, f"{where}: {given}"):
        return None
    if file.samefile(imagenet.LABEL_LIST) and not is_for_imagenet:  # the path that most recipes of PaddleClas have
        warn_once(
            "%s: %s has ImageNet's names, but the model is not known to be for ImageNet; ignored. If it is, give a "
            "copy of the file",
            *(where, given),
        )
        return None
    return names


def has_one_name_per_class(names: Sequence[str], class_num: int, where: str) -> bool:
    """Return whether there is a name for each class; if not, the log says that the names are ignored."""
    if len(names) == class_num:
        return True
    warn_once("%s has %d names for %d classes; ignored", where, len(names), class_num)
    return False


def choose_names(given: Sequence[str], saved: Optional[Sequence[str]], where: str, model: str) -> List[str]:
    """Return the names to answer with; where the two lists differ, the log says which these are.

    They are those given, such as translations, unless these number the model's own classes in another way, or are
    ImageNet's and the model's are not.

    Args:
        given: in the recipe, one for each class.
        saved: with the model; None where it has none.
        where: the place of those given, for messages.
        model: the model, for messages.
    """
    if saved is None or list(given) == list(saved):
        return list(given)
    known = set(saved)
    if any(name in known and name != of_model for name, of_model in zip(given, saved)):
        warn_once("%s: has the classes of %s in another order; that of training is used", where, model)
        return list(saved)
    if are_imagenet_folders(saved):
        return list(given)
    index = next(index for index, pair in enumerate(zip(given, saved)) if pair[0] != pair[1])
    is_imagenet = list(given) == imagenet_names()
    warn_once(
        "%s: class %d is %r there, and %r in %s; using the names of %s",
        *(where, index, given[index], saved[index], model, "the model" if is_imagenet else "the recipe"),
    )
    return list(saved if is_imagenet else given)
