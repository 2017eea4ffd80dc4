"""What a checkpoint says of its model's classes."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional

from ppcls.data.datasets import Classes
from ppcls.engine.checkpointing.checkpoint import read_states
from ppcls.errors import CheckpointError


def class_names(prefix: Path) -> Optional[List[str]]:
    """Return the class names saved beside weights, None where there are none (or PaddleClas wrote the file)."""
    try:
        return read_states(prefix).get("class_names")
    except CheckpointError:
        return None


def classes(prefix: Path) -> Optional[Classes]:
    """Return what the class ids of weights mean, as far as it is saved beside them; None where nothing is known."""
    try:
        states = read_states(prefix)
    except CheckpointError:
        return None
    names, saved = states.get("class_names"), Classes.from_json(states.get("classes"))
    if saved is not None and saved.names is None:  # of a list without names, and named by a file of the recipe
        return Classes(names, saved.labels)
    return saved or (Classes(names) if names else None)


def class_num(prefix: Path) -> Optional[int]:
    """Return the number of classes of weights; None where it is not saved beside them."""
    try:
        return int(read_states(prefix)["config"]["Arch"]["class_num"])
    except (CheckpointError, KeyError, TypeError, ValueError):
        return None
