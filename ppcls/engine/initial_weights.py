"""Weights to train from: the classifier of other data is put into the order of these, or left out."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import paddle

from ppcls.config.schema import Config
from ppcls.data.datasets import Classes
from ppcls.data.datasets.classes import find_places
from ppcls.engine import preprocessing
from ppcls.engine.checkpointing import checkpoint, saved_classes
from ppcls.engine.label_names import number_same_classes
from ppcls.engine.model import load_from
from ppcls.utils.logging import warn_once
from ppcls.utils.text import listed
from ppcls.weights.head import has_linear_head


def load_initial_weights(config: Config, model: paddle.nn.Layer, path: str, classes: Classes) -> str:
    """Load weights to train from; return what to log: what was loaded, and what left out.

    Args:
        classes: of the training data.
    """
    text = load_from(config, model, path, config.Global.drop_mismatched_head, _class_ids(model, path, classes))
    preprocessing.warn_of_other_training(config, path, "the weights to start from")
    return text


def differing_order(path: str, classes: Classes) -> Optional[List[int]]:
    """Return the class id in weights of each class of the data, where both have the same classes in another order.

    Args:
        path: of the weights.
        classes: of the data.

    Returns:
        None where the order is the same, the classes are others, or they are not known on both sides.
    """
    pair = _comparable(path, classes)
    return find_places(*pair) if pair is not None else None


def _class_ids(model: paddle.nn.Layer, path: str, classes: Classes) -> Optional[Sequence[int]]:
    """Return ``class_ids`` of ``load_weights``; the log says where the weights are for other classes."""
    pair = _comparable(path, classes)
    if pair is None or len(pair[0]) != len(pair[1]):  # another number of classes is found by their shapes
        return None
    ours, theirs = pair
    order = find_places(ours, theirs)
    usable = has_linear_head(model)
    if order is not None and usable:
        return order
    what = "is for other classes than the data" if order is None else "has these classes in another order"
    if usable:
        use = "a new classifier is trained; to keep that of the file, give the classes the names that it has"
    else:
        use = f"nothing tells which output of {type(model).__name__} is which, and its classifier is used as it is"
    warn_once(
        "%s %s: %s\n  the weights (%d): %s\n  the data (%d): %s",
        *(path, what, use, len(theirs), listed(theirs), len(ours), listed(ours)),
    )
    return [] if usable else None


def _comparable(path: str, classes: Classes) -> Optional[Tuple[Sequence[object], Sequence[object]]]:
    """Return the classes of the data and those of weights where they differ; None where not, or where it is not known.

    They are compared by name or, of lists without names that ``relabel`` renumbers, by label.
    """
    known = saved_classes.classes(checkpoint.strip_suffix(path))
    if known is None:
        return None
    if known.names is not None and classes.names is not None:
        return None if number_same_classes(classes.names, known.names) else (classes.names, known.names)
    ours, theirs = comparable_labels(known, classes)
    return (ours, theirs) if ours is not None and theirs is not None and list(ours) != list(theirs) else None


def comparable_labels(known: Classes, classes: Classes) -> Tuple[Optional[Sequence[int]], Optional[Sequence[int]]]:
    """Return the labels of the data and of weights in list files, by class id; None where they are not known.

    Without names on either side, labels that were not renumbered are the class ids.
    """
    ours, theirs = classes.labels, known.labels
    if known.names is None and classes.names is None:
        count = len(ours or theirs or ())
        ours, theirs = ours or range(count), theirs or range(count)
    return ours, theirs
