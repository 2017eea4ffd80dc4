"""What is saved with weights of the classes of their model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List, Mapping, Optional

from ppcls.data.datasets import Classes
from ppcls.engine.checkpointing.checkpoint import read_states
from ppcls.errors import CheckpointError, WeightsError
from ppcls.weights.reader import find_file
from ppcls.weights.record import read_record


def class_names(prefix: Path) -> Optional[List[str]]:
    """Return the class names saved with weights, None where there are none (or another program wrote the file)."""
    return _saved(prefix).get("class_names")


def classes(prefix: Path) -> Optional[Classes]:
    """Return what the class ids of weights mean, as far as it is saved with them; None where nothing is known."""
    states = _saved(prefix)
    names, saved = states.get("class_names"), Classes.from_json(states.get("classes"))
    if saved is not None and saved.names is None:  # of a list without names, and named by a file of the recipe
        return Classes(names, saved.labels)
    return saved or (Classes(names) if names else None)


def _saved(prefix: Path) -> Mapping[str, Any]:
    """Return the state of a checkpoint or, of another file, what is recorded in it."""
    try:
        return read_states(prefix)
    except CheckpointError:
        pass
    try:
        return vars(read_record(find_file(prefix)))
    except WeightsError:
        return {}


def class_num(prefix: Path) -> Optional[int]:
    """Return the number of classes of a checkpoint's model; None where it is not saved beside the weights."""
    try:
        return int(read_states(prefix)["config"]["Arch"]["class_num"])
    except (CheckpointError, KeyError, TypeError, ValueError):
        return None
