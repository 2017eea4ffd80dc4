"""A checkpoint as a model: where it is in a run's folder, and the recipe that it carries."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Sequence

from ppcls.config.schema import Config
from ppcls.engine import checkpoint, commit
from ppcls.engine.registries import load_saved
from ppcls.errors import CheckpointError, ConfigError, WeightsError


def find(path: Path) -> Path:
    """Return the prefix of the checkpoint that a path means: a run's folder (its best model), a prefix or a file of it.

    Raises:
        CheckpointError: there is none.
        ConfigError: it is another file.
    """
    if path.is_dir():
        best = path / "best_model"
        known = [best] if checkpoint.exists(best) else checkpoint.newest_first(path)
        if not known:
            raise CheckpointError(f"{path}: {_missing(path)}")
        return known[0]
    prefix = checkpoint.strip_suffix(str(path))
    if not checkpoint.exists(prefix) and not commit.named(prefix, checkpoint.WEIGHTS).is_file():
        if path.is_file():
            raise ConfigError(
                f"{path}: weights without a recipe: give it with -c RECIPE; of an exported model, give the folder"
            )
        raise CheckpointError(f"{path}: no such run folder, checkpoint, or exported model")
    return prefix


def _missing(folder: Path) -> str:
    """Return what to say of a folder without checkpoints."""
    below = sorted(str(inner) for inner in folder.iterdir() if inner.is_dir() and checkpoint.newest_first(inner))
    if below:
        return f"no checkpoint here, but in {', '.join(below)}: give one of these"
    return "neither the folder of a run (best_model.pdparams, latest.pdparams) nor of an export (inference.yml)"


def load(prefix: Path, changes: Sequence[str] = ()) -> Config:
    """Return the recipe that a checkpoint carries, with its weights as those to use, and its own class names.

    Raises:
        ConfigError: it carries none; or a mistake in ``changes``.
        CheckpointError: its files are damaged.
    """
    states = commit.named(prefix, checkpoint.STATES)
    if not checkpoint.exists(prefix):
        raise ConfigError(
            f"{prefix}{checkpoint.WEIGHTS} comes without its recipe ({states.name}): give it with -c RECIPE"
        )
    try:
        saved = checkpoint.read_states(prefix)
    except CheckpointError as error:
        raise CheckpointError(f"{error}; give the recipe with -c RECIPE") from None
    weights = commit.named(prefix, checkpoint.WEIGHTS)
    if not weights.is_file() or commit.sha256(weights) != saved["files"].get(checkpoint.WEIGHTS):
        raise WeightsError(f"{weights}: missing, damaged, or not what was saved with {states.name}")
    values = copy.deepcopy(saved["config"])
    values["Global"].update(pretrained_model=str(prefix), checkpoints=None)
    if saved.get("class_names"):  # their file need not be where the checkpoint is now
        values["Infer"]["PostProcess"]["class_id_map_file"] = None
    return load_saved(values, f"the recipe in {states}", changes)
