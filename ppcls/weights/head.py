"""The classifier in weights: left out where it is for other classes, or put into the order of the model's."""

from __future__ import annotations

from typing import List, Sequence

import numpy as np
from paddle import nn

from ppcls.weights.matching import WeightMatch

_LINEAR = ("head.weight", "head.bias")


def has_linear_head(model: nn.Layer) -> bool:
    """Return whether the outputs of a model are those of a linear layer ``head``, in its order."""
    return isinstance(getattr(model, "head", None), nn.Linear)


def in_head(name: str) -> bool:
    """Return whether a tensor of the model belongs to its classifier."""
    return name.split(".", 1)[0] == "head"


def drop_wrong_head(match: WeightMatch) -> List[str]:
    """Take a head that does not fit out of ``match``; return the names that keep their initialisation."""
    unexpected = [name for name in match.unexpected if in_head(match.naming.rename(name) or "")]
    match.unexpected = [name for name in match.unexpected if name not in unexpected]
    match.dropped.extend(unexpected)
    wrong = [name for name in (*match.misshaped, *match.missing) if in_head(name)]
    if not wrong:
        return []
    # A weight without its bias is no classifier: the whole head goes.
    return drop_head(match)


def drop_head(match: WeightMatch) -> List[str]:
    """Take the head out of ``match``; return the names that keep their initialisation."""
    head = [name for name in match.arrays if in_head(name)]
    wrong = [name for name in (*match.misshaped, *match.missing) if in_head(name)]
    for name in head:
        del match.arrays[name]
        match.misshaped.pop(name, None)
        match.mistyped.pop(name, None)
    match.dropped.extend(head)
    fresh = sorted({*head, *wrong})
    match.missing = [name for name in match.missing if name not in fresh]
    return fresh


def reorder_head(match: WeightMatch, class_ids: Sequence[int]) -> bool:
    """Put the outputs of a linear head into another order; return whether that changes anything.

    A head of another number of classes stays as it is, and is refused for its shape.

    Args:
        class_ids: the class id in the weights of each class of the model.
    """
    found = [name for name in _LINEAR if name in match.arrays and match.arrays[name].shape[-1] == len(class_ids)]
    for name in found:
        match.arrays[name] = np.take(match.arrays[name], class_ids, axis=-1)
    return bool(found) and list(class_ids) != list(range(len(class_ids)))
