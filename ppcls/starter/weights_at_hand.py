"""Which weights training may start from without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

from ppcls.arch import spec
from ppcls.engine.checkpointing import checkpoint, run_dir
from ppcls.errors import ConfigError
from ppcls.starter.recipe import Start
from ppcls.starter.rules import WEIGHTS
from ppcls.starter.survey import cached_public_weights
from ppcls.utils.paths import user_path
from ppcls.weights.detection import detect_architecture
from ppcls.weights.published import cache_path
from ppcls.weights.reader import read_selection

AUTO, NONE = "auto", "none"
_OF_THE_RUN = ("class_num", "pretrained", "use_sync_bn", "image_size", "recompute")  # and not of the weights


def find_start(given: Optional[str], model: Optional[str]) -> Optional[Start]:
    """Return the weights to start from; None for random ones.

    Args:
        given: a path, "auto" for public weights that are in the cache, "none", or None: "auto", but without weights
            that is no mistake.
        model: the architecture that was asked for; None takes that of the weights.

    Raises:
        ConfigError: there are no such weights, or they are for another architecture.
        WeightsError, CheckpointError: the file is damaged, or no weights.
    """
    if given == NONE:
        return None
    if given is None or given == AUTO:
        return _cached(model, required=given == AUTO)
    path = user_path(given)
    if path.is_dir():
        path = run_dir.best_checkpoint(path)
    start = _of_checkpoint(path) or _of_file(path, model)
    name = start.arch["name"]
    if model is not None and name != model:
        raise ConfigError(f"--pretrained {given}: holds weights of {name}, and --model is {model}; leave --model out")
    return start


def _cached(model: Optional[str], required: bool) -> Optional[Start]:
    found = cached_public_weights()
    name = next((name for name in WEIGHTS if name in found and model in (None, name)), None)
    if name is None and model in found:
        name = model
    if name is not None:
        return Start(None, {"name": name}, spec(name).image_size)
    if not required:
        return None
    wanted = spec(model or WEIGHTS[0])
    if wanted.url is None:
        raise ConfigError(f"--pretrained auto: no public weights of {model} are known; give --pretrained PATH")
    raise ConfigError(
        f"--pretrained auto: no public weights are in the cache; put {wanted.url} at {cache_path(wanted)}, or leave "
        f"--pretrained out to start from random weights"
    )


def _of_checkpoint(path: Path) -> Optional[Start]:
    """Return the weights of a run, None where the path is no checkpoint."""
    prefix = checkpoint.strip_suffix(str(path))
    if not checkpoint.exists(prefix):
        return None
    recipe = checkpoint.read_states(prefix)["config"]
    arch = {key: value for key, value in recipe["Arch"].items() if key not in _OF_THE_RUN}
    return Start(str(prefix), arch, int(recipe["Global"]["image_shape"][-1]))


def _of_file(path: Path, model: Optional[str]) -> Start:
    detected = detect_architecture(read_selection(path).arrays)
    name = model if detected is None else detected.variant
    if name is None:
        raise ConfigError(f"--pretrained {path}: it does not say which architecture it is for; give --model NAME")
    return Start(str(path), {"name": name}, spec(name).image_size)
