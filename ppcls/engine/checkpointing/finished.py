"""``finished.json``: what a training that has come to its end led to, and by which recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, Optional

from ppcls.config.schema import AUTO, Config
from ppcls.engine.checkpointing import checkpoint, resume
from ppcls.errors import MachineError
from ppcls.utils import atomic, distributed, json_text
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import add_suffix, user_path

FINISHED = "finished.json"
# Of the keys that do not make another run, the ones that can make a finished one unfinished.
LENGTH_KEYS = ("Global.epochs", "Global.early_stopping")


def write(config: Config, folder: Path, result: Dict[str, Any], stop_reason: Optional[str]) -> None:
    """Note in a run's folder that everything is done, callbacks included; nothing if it has no newest checkpoint.

    Args:
        config: by which it was done.
        result: the best evaluation.
        stop_reason: why training ended before its last epoch; None if it did not.
    """
    latest = folder / "latest"
    if not checkpoint.exists(latest):  # nothing was trained from the checkpoint of another folder
        return
    states = {**checkpoint.read_states(latest), "config": config.plain(), "processes": distributed.world_size()}
    record = {
        "result": result,
        "stop_reason": stop_reason,
        "states": {key: states.get(key) for key in ("config", "processes", "start")},
        "latest": _digest(latest),
    }
    try:
        atomic.write_text(folder / FINISHED, json_text.dumps(record, indent=1) + "\n")
    except MachineError as error:  # everything else is there
        get_logger().warning("%s", error)


def forget(folder: Path) -> None:
    """Note that a run goes on."""
    (folder / FINISHED).unlink(missing_ok=True)


def is_finished(config: Config, folder: Path, prefix: Optional[Path]) -> bool:
    """Return whether the training in a folder came to its end by this very recipe, and its checkpoints are there.

    Args:
        prefix: the checkpoint that is resumed, None for a new run.
    """
    record, latest = _read(folder), folder / "latest"
    if record is None or prefix is None or prefix.resolve() != latest.resolve():
        return False
    if record.get("latest") != _digest(latest):
        return False
    states = checkpoint.read_states(latest)
    # What ended it early must be in the recipe: a callback that was given in Python may not be there this time.
    ends_early = config.Global.early_stopping is not None or bool(config.Callbacks)
    if states["epoch"] < config.Global.epochs and not ends_early:
        return False
    has_best = not states["best"]["epoch"] or checkpoint.exists(folder / "best_model")
    return has_best and not any(resume.changes_since(record["states"], config))


def stop_reason(folder: Path) -> Optional[str]:
    """Return why a finished training ended before its last epoch, None if it did not."""
    record = _read(folder)
    return None if record is None else record.get("stop_reason")


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
