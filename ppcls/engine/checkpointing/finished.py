"""``finished.json``: what a training that has come to its end led to, and by which recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional

from ppcls.config.schema import AUTO, Config
from ppcls.engine.checkpointing import checkpoint, resume
from ppcls.utils import atomic, json_text
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import add_suffix, user_path

FINISHED = "finished.json"
# Of the keys that do not make another run, the ones that can make a finished one unfinished.
LENGTH_KEYS = ("Global.epochs", "Global.early_stopping")


def write(folder: Path, result: Dict[str, Any]) -> None:
    """Note in a run's folder that everything is done, callbacks included.

    Args:
        result: the best evaluation.
    """
    latest = folder / "latest"
    states = checkpoint.read_states(latest)
    record = {
        "result": result,
        "states": {key: states.get(key) for key in ("config", "processes", "start")},
        "latest": _digest(latest),
    }
    try:
        atomic.write_text(folder / FINISHED, json_text.dumps(record, indent=1) + "\n")
    except OSError as error:  # everything else is there
        get_logger().warning("%s cannot be written: %s", folder / FINISHED, error.strerror or error)


def is_finished(config: Config, folder: Path, prefix: Optional[Path]) -> bool:
    """Return whether the training in a folder came to its end by this very recipe, and nothing is missing since.

    Args:
        prefix: the checkpoint that is resumed, None for a new run.
    """
    record, latest = _read(folder), folder / "latest"
    if record is None or prefix is None or prefix.resolve() != latest.resolve():
        return False
    if record.get("latest") != _digest(latest):
        return False
    states = checkpoint.read_states(latest)
    has_best = not states["best"]["epoch"] or checkpoint.exists(folder / "best_model")
    return has_best and not any(resume.changes_since(states, config))


def finished_result(recipe: Config) -> Optional[Dict[str, float]]:
    """Return what the training by a stage's recipe led to, None if it has not ended yet.

    Raises:
        ConfigError: the training that ended was by another recipe.
    """
    folder = user_path(recipe.run_dir)
    record = _read(folder)
    if record is None or recipe.Global.checkpoints != AUTO:
        return None
    resume.require_same_run(recipe, record["states"], folder)
    changes = resume.changes_since(record["states"], recipe)
    return None if any(key.startswith(LENGTH_KEYS) for key, _, _ in changes) else record["result"]


def _read(folder: Path) -> Optional[Dict[str, Any]]:
    """Return what ``write`` has written; None where it is absent or damaged: the checkpoints tell how far it is."""
    try:
        record = json.loads((folder / FINISHED).read_text(encoding="utf-8"))
        return {**record, "states": dict(record["states"]), "result": dict(record["result"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(prefix: Path) -> str:
    return sha256(add_suffix(prefix, checkpoint.STATES))
