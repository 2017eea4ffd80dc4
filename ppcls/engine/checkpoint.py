"""Checkpoints: ``latest``, ``best_model`` and ``epoch_N``, each a set of weights, optimizer state and position."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, Optional, cast

import paddle

import ppcls
from ppcls.arch import load_weights
from ppcls.arch.weights import restricted_load
from ppcls.config.schema import Config
from ppcls.engine import commit
from ppcls.engine.state import Best, TrainState
from ppcls.errors import CheckpointError
from ppcls.optimizer.state import load_optimizer_state, optimizer_state
from ppcls.utils.logging import get_logger

WEIGHTS, OPTIMIZER, STATES = ".pdparams", ".pdopt", commit.STATES
_FORMAT = 1
_KEYS = {"epoch", "batch", "step", "best", "sums", "history", "config", "layout", "journal_bytes", "files"}


def strip_suffix(prefix: str) -> Path:
    """Return a checkpoint's prefix, which users also write with one of its suffixes."""
    for suffix in (WEIGHTS, OPTIMIZER, STATES):
        prefix = prefix[: -len(suffix)] if prefix.endswith(suffix) else prefix
    return Path(prefix).expanduser()


def save(state: TrainState, prefix: Path, config: Config, **position: Any) -> None:
    """Write the whole state to ``prefix``; an existing checkpoint there stays whole until the new one is.

    Args:
        position: further JSON values to keep with it, such as the length of the metrics file.

    Raises:
        CheckpointError: it could not be written; the message says why and what can still be resumed.
    """
    states = {
        "format": _FORMAT,
        "ppcls": ppcls.__version__,
        "paddle": paddle.__version__,
        "epoch": state.epoch,
        "batch": state.batch,
        "step": state.step,
        "best": asdict(state.best),
        "sums": state.sums,
        "history": state.history,
        "class_names": state.class_names,
        "config": config.plain(),
        "layout": state.layout,
        **position,
    }
    writers = {
        WEIGHTS: lambda path: paddle.save(state.model.state_dict(), str(path)),
        OPTIMIZER: lambda path: paddle.save(cast(Any, optimizer_state(state.optimizer, state.model)), str(path)),
    }
    try:
        commit.write_set(prefix, writers, states)
    except OSError as error:
        raise CheckpointError(_write_failed(prefix, error)) from None


def _write_failed(prefix: Path, error: OSError) -> str:
    rest = (
        f"the checkpoint written there before is whole: make room, then resume with -o Global.checkpoints={prefix}"
        if exists(prefix)
        else "there is no earlier checkpoint to resume from: make room, then start again"
    )
    return f"cannot write the checkpoint {prefix}: {error.strerror or error}; {rest}"


def alias(source: Path, target: Path) -> None:
    """Make ``target`` the same checkpoint as ``source``, without writing the weights again."""
    states = read_states(source)
    files = states.pop("files")
    writers = {suffix: lambda path, suffix=suffix: commit.link(commit.named(source, suffix), path) for suffix in files}
    try:
        commit.write_set(target, writers, states)
    except OSError as error:
        raise CheckpointError(_write_failed(target, error)) from None


def exists(prefix: Path) -> bool:
    """Return whether there is a checkpoint at ``prefix``."""
    return any(commit.named(prefix, suffix).is_file() for suffix in (STATES, commit.MARK))


def read_states(prefix: Path) -> Dict[str, Any]:
    """Return the position, history and recipe of a checkpoint.

    Raises:
        CheckpointError: there is none, or its file is damaged.
    """
    commit.settle(prefix)
    path = commit.named(prefix, STATES)
    if not path.is_file():
        near = sorted(file.name[: -len(STATES)] for file in prefix.parent.glob(f"*{STATES}"))
        hint = f"; checkpoints there: {', '.join(near)}" if near else f"; no checkpoint is in {prefix.parent}"
        raise CheckpointError(f"checkpoint {prefix}: {path.name} is missing{hint}")
    try:
        states = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not written by ppcls ({error}); its weights may still be used as "
            f"Global.pretrained_model={prefix}"
        ) from None
    if not isinstance(states, dict) or states.get("format") != _FORMAT or not states.keys() >= _KEYS:
        raise CheckpointError(f"{path}: format {_FORMAT} expected; its weights may still be used as pretrained_model")
    return states


def resume(state: TrainState, prefix: Path) -> Dict[str, Any]:
    """Bring a fresh state to where the checkpoint at ``prefix`` left off; return what else was saved.

    Raises:
        CheckpointError, WeightsError: missing, damaged, of another model, or in the middle of an epoch that would be
            cut into other batches now.
    """
    states = read_states(prefix)
    layout = states["layout"]
    changed = [key for key in layout if layout[key] != state.layout.get(key)]
    if states["batch"] and changed:
        text = "; ".join(f"{key} was {layout[key]} and is {state.layout.get(key)}" for key in changed)
        raise CheckpointError(
            f"{prefix} was saved inside epoch {states['epoch'] + 1}, which has other batches now ({text}); undo that, "
            f"or resume from an epoch_N checkpoint"
        )
    for suffix, digest in states["files"].items():
        path = commit.named(prefix, suffix)
        if not path.is_file() or commit.sha256(path) != digest:
            raise CheckpointError(f"{path}: {'damaged' if path.is_file() else 'missing'}; resume from another one")
    load_weights(state.model, commit.named(prefix, WEIGHTS), adapt=False)
    load_optimizer_state(state.optimizer, state.model, restricted_load(commit.named(prefix, OPTIMIZER)))
    if states["best"]["metric"] == state.best.metric:
        state.best = Best(**states["best"])
    else:
        before, now = states["best"]["metric"], state.best.metric
        get_logger().warning("the best model was chosen by %s, and is chosen by %s from now on", before, now)
    state.epoch, state.batch, state.step = states["epoch"], states["batch"], states["step"]
    state.sums, state.history = states["sums"], states["history"]
    return states


def class_names(prefix: Path) -> Optional[list]:
    """Return the class names saved beside weights, None where there are none (or PaddleClas wrote the file)."""
    try:
        return read_states(prefix).get("class_names")
    except CheckpointError:
        return None


def remove_old(folder: Path, keep: Optional[int]) -> None:
    """Delete ``epoch_N`` checkpoints but the ``keep`` newest; None keeps all."""
    if keep is None:
        return
    numbers = sorted(
        int(match.group(1)) for p in folder.glob(f"epoch_*{STATES}") if (match := re.fullmatch(r"epoch_(\d+)", p.stem))
    )
    for number in numbers[: max(0, len(numbers) - keep)]:
        for suffix in (STATES, OPTIMIZER, WEIGHTS):  # the position first: without it there is no checkpoint
            commit.named(folder / f"epoch_{number}", suffix).unlink(missing_ok=True)
