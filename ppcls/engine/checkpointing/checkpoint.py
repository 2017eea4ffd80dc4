"""Checkpoints: ``latest``, ``best_model`` and ``epoch_N``, each a set of weights, optimizer state and position."""

from __future__ import annotations

import copy
import functools
import json
import pickle
import platform
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np
import paddle

import ppcls
from ppcls.config.schema import AUTO, Config
from ppcls.engine.amp import full_precision
from ppcls.engine.checkpointing import file_set
from ppcls.engine.checkpointing.peers import PEERS, load_peers, peer_weights
from ppcls.engine.state import Best, TrainState
from ppcls.errors import CheckpointError, WeightsError
from ppcls.optimizer.state import load_optimizer_state, optimizer_state
from ppcls.utils import distributed
from ppcls.utils.digests import sha256
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import add_suffix, user_path
from ppcls.weights import image_size_of, load_weights, require_finite, restricted_load

WEIGHTS, OPTIMIZER, STATES = ".pdparams", ".pdopt", file_set.STATES
# With EMA, WEIGHTS are the average, which is what a model is used with, and these are what is trained on.
RAW = "_raw.pdparams"
_FORMAT = 1
_KEYS = {"epoch", "batch", "step", "best", "sums", "history", "config", "layout", "files"}


def strip_suffix(prefix: str) -> Path:
    """Return a checkpoint's prefix, which users also write with one of its suffixes."""
    for suffix in (RAW, PEERS, WEIGHTS, OPTIMIZER, STATES):
        prefix = prefix[: -len(suffix)] if prefix.endswith(suffix) else prefix
    return user_path(prefix)


@dataclass(frozen=True)
class Snapshot:
    """A copy of a state: what is trained on afterwards does not change it.

    Attributes:
        files: the arrays of each file, by suffix.
        states: everything else, as JSON holds it.
    """

    files: Mapping[str, Mapping[str, np.ndarray]]
    states: Mapping[str, Any]


def snapshot(state: TrainState, config: Config, callbacks: Mapping[str, Any]) -> Snapshot:
    """Copy the whole state.

    Args:
        callbacks: the states of the callbacks, as JSON holds them.
    """
    states = {
        "format": _FORMAT,
        "ppcls": ppcls.__version__,
        "paddle": paddle.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "epoch": state.epoch,
        "batch": state.batch,
        "step": state.step,
        "best": asdict(state.best),
        "sums": state.epoch_averages,
        "epoch_ended": state.epoch_ended,
        "history": state.history,
        "class_names": state.class_names,
        "classes": state.classes.to_json(),
        "image_size": image_size_of(state.model),
        "start": state.init_weights,
        "teachers": state.teacher_weights,
        "config": config.plain(),
        "layout": state.batch_layout,
        "processes": distributed.world_size(),
        "cpu_threads": state.cpu_threads,
        "scaler": state.amp.state_dict(),
        "schedule": state.schedule.state(),
        "callbacks": callbacks,
    }
    files = {OPTIMIZER: optimizer_state(state.optimizer, state.trained)}
    if state.ema is None:
        tensors = full_precision(state.model, state.optimizer)
        files[WEIGHTS] = {name: tensor.numpy() for name, tensor in tensors.items()}
    else:
        files[WEIGHTS], files[RAW] = state.ema.averaged_weights(), state.ema.raw_weights()
    if state.peers:
        files[PEERS] = peer_weights(state)
    return Snapshot(files, copy.deepcopy(states))


def write(snapshot: Snapshot, prefix: Path) -> None:
    """Write a state to ``prefix``; an existing checkpoint there stays whole until the new one is.

    Raises:
        CheckpointError: it could not be written; the message says why and what can still be resumed.
    """
    writers = {suffix: functools.partial(_dump, arrays) for suffix, arrays in snapshot.files.items()}
    try:
        file_set.write(prefix, writers, snapshot.states)
    except OSError as error:
        raise CheckpointError(_write_failed(prefix, error, snapshot.states)) from None


def _dump(arrays: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a file that ``paddle.load`` reads, without Paddle: this runs in a thread."""
    with path.open("wb") as file:
        pickle.dump(dict(arrays), file, protocol=4)


def _write_failed(prefix: Path, error: OSError, states: Mapping[str, Any]) -> str:
    rest = (
        f"the checkpoint written there before is whole: make room, then resume with "
        f"{resume_command(states['config']['Global']['checkpoints'], prefix)}"
        if exists(prefix)
        else "there is no earlier checkpoint to resume from: make room, then start again"
    )
    return f"cannot write the checkpoint {prefix}: {error.strerror or error}; {rest}"


def resume_command(checkpoints: Optional[str], prefix: Path) -> str:
    """Return how to continue from ``prefix``; ``checkpoints`` is the recipe's."""
    return "the same command" + ("" if checkpoints == AUTO else f" and -o Global.checkpoints={prefix}")


def link_checkpoint(source: Path, target: Path) -> None:
    """Make ``target`` the same checkpoint as ``source``, without writing the weights again."""
    states = read_states(source)
    files = states.pop("files")
    writers = {
        suffix: lambda path, suffix=suffix: file_set.hard_link(add_suffix(source, suffix), path) for suffix in files
    }
    try:
        file_set.write(target, writers, states)
    except OSError as error:
        raise CheckpointError(_write_failed(target, error, states)) from None


def exists(prefix: Path) -> bool:
    """Return whether there is a checkpoint at ``prefix``."""
    return any(add_suffix(prefix, suffix).is_file() for suffix in (STATES, file_set.COMMIT))


def read_states(prefix: Path) -> Dict[str, Any]:
    """Return the position, history and recipe of a checkpoint.

    Raises:
        CheckpointError: there is none, or its file is damaged.
    """
    file_set.finish_commit(prefix)
    path = add_suffix(prefix, STATES)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {prefix}: {path.name} is missing")
    try:
        states = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{path}: damaged, or not written by ppcls ({error}); its weights may still be used as "
            f"Global.pretrained_model={prefix}"
        ) from None
    if not isinstance(states, dict) or states.get("format") != _FORMAT or not states.keys() >= _KEYS:
        raise CheckpointError(f"{path}: format {_FORMAT} expected; its weights may still be used as pretrained_model")
    if file_set.DIGEST in states and states[file_set.DIGEST] != file_set.states_digest(states):
        raise CheckpointError(f"{path}: damaged; its weights may still be used as Global.pretrained_model={prefix}")
    return states


def resume(state: TrainState, prefix: Path) -> Dict[str, Any]:
    """Bring a fresh state to where the checkpoint at ``prefix`` left off; return what else was saved.

    Raises:
        CheckpointError, WeightsError: missing, damaged, of another model, or in the middle of an epoch that would be
            cut into other batches now.
    """
    states = _read_undamaged_states(prefix)
    if OPTIMIZER not in states["files"]:
        raise CheckpointError(
            f"{prefix} has weights and no state of an optimizer: it is an average of checkpoints. Resume one of the "
            f"run's, or train on from these weights: -o Global.checkpoints=null Global.pretrained_model={prefix}"
        )
    layout = states["layout"]
    # A key that the checkpoint does not have yet cannot be compared.
    changed = {
        key: _describe_change(key, was, state.batch_layout.get(key))
        for key, was in layout.items()
        if was != state.batch_layout.get(key)
    }
    if states["batch"] and changed:
        text = "; ".join(changed.values())
        raise CheckpointError(
            f"{prefix} was saved inside epoch {states['epoch'] + 1}, which has other batches now ({text}; batch_size "
            f"is that of all processes together); undo that, or resume from an epoch_N checkpoint"
        )
    others = "; ".join(changed[key] for key in ("images", "samples") if key in changed)
    if others:
        get_logger().warning("the training data are others than when %s was saved: %s", prefix, others)
    _load_weights(state, prefix, averaged=RAW in states["files"])
    load_peers(state, prefix)
    load_optimizer_state(state.optimizer, state.trained, restricted_load(add_suffix(prefix, OPTIMIZER)))
    if states["best"]["metric"] == state.best.metric:
        saved = states["best"]
        state.best = Best(saved["metric"], saved["value"], saved["epoch"], saved["lower"], saved.get("loss"))
    else:
        before, now = states["best"]["metric"], state.best.metric
        get_logger().warning("the best model was chosen by %s, and is chosen by %s from now on", before, now)
    state.epoch, state.batch, state.step = states["epoch"], states["batch"], states["step"]
    state.epoch_averages, state.history = states["sums"], states["history"]
    state.epoch_ended = states.get("epoch_ended", False)
    state.init_weights = states.get("start")
    state.amp.load_state_dict(states.get("scaler"))
    state.schedule.load_state(states.get("schedule") or {})
    return states


def callback_states(states: Mapping[str, Any]) -> Dict[str, Any]:
    """Return the states of the callbacks that a checkpoint holds; of versions without callbacks, what they kept."""
    if "callbacks" in states:
        return dict(states["callbacks"])
    return {"MetricsFile": {"bytes": states.get("journal_bytes", 0)}}


def _describe_change(key: str, before: Any, now: Any) -> str:
    if key == "samples":
        return "the paths, the labels or the order of the images changed"
    return f"{key} was {before} and is {now}"


def _load_weights(state: TrainState, prefix: Path, averaged: bool) -> None:
    """Load the weights to train on, and their average where there is one and it is wanted."""
    try:
        load_weights(state.model, add_suffix(prefix, RAW if averaged else WEIGHTS), adapt=False)
    except WeightsError as error:
        raise WeightsError(
            f"{error}\nA run is continued with the model it began with; to train another one from these weights: "
            f"-o Global.checkpoints=null Global.pretrained_model={prefix}"
        ) from None
    if state.ema is None:
        if averaged:
            get_logger().warning("%s has averaged weights, and this recipe has no EMA: they are left behind", prefix)
    elif averaged:
        average = restricted_load(add_suffix(prefix, WEIGHTS))
        require_finite(average, f"{prefix}{WEIGHTS}")
        state.ema.load_average(average)
    else:
        get_logger().warning("%s has no averaged weights: EMA begins with the trained ones", prefix)
        state.ema.restart()


def find_damage(prefix: Path) -> Optional[str]:
    """Return what is wrong with the checkpoint at ``prefix``, None if it is whole."""
    try:
        states = read_states(prefix)
    except CheckpointError as error:
        return str(error)
    for suffix, digest in states["files"].items():
        path = add_suffix(prefix, suffix)
        if not path.is_file():
            return f"{path}: missing"
        if sha256(path) != digest:
            return f"{path}: damaged"
    return None


def check_weights(path: str) -> None:
    """Check weights that may be of one of our checkpoints against their digest; others pass.

    Args:
        path: of the file, with or without its suffix.

    Raises:
        CheckpointError: a commit that was interrupted is damaged.
        WeightsError: they are not what was written.
    """
    whole = path if path.endswith(WEIGHTS) else path + WEIGHTS
    for suffix in (RAW, PEERS, WEIGHTS):  # the longer ones first
        if not whole.endswith(suffix):
            continue
        prefix = user_path(whole[: -len(suffix)])
        file_set.finish_commit(prefix)
        try:
            digest = read_states(prefix)["files"].get(suffix)
        except CheckpointError:
            continue  # of another program, or without a readable position, and so without digests
        file = add_suffix(prefix, suffix)
        if digest is not None and file.is_file() and sha256(file) != digest:
            raise WeightsError(
                f"{file}: damaged, or not the weights that {prefix.name}{STATES} was written with; use another "
                f"checkpoint, or delete {prefix.name}{STATES} if you replaced them"
            )


def newest_first(folder: Path) -> List[Path]:
    """Return the prefixes of the checkpoints in a folder, whole or not; those without a readable position first."""
    numbered = [folder / f"epoch_{number}" for number in _epochs(folder)]
    latest = folder / "latest"
    known = [prefix for prefix in (latest, *reversed(numbered), folder / "best_model") if exists(prefix)]
    if not exists(latest) and add_suffix(latest, OPTIMIZER).is_file():
        known.append(latest)  # its position is lost, which has to be said
    return sorted(known, key=position_of, reverse=True)  # stable: of equals the first


def position_of(prefix: Path) -> Tuple[float, int]:
    """Return (epochs, batches) done when a checkpoint was saved; of one that cannot be read (infinity, 0)."""
    try:
        states = read_states(prefix)
    except CheckpointError:
        return float("inf"), 0
    return states["epoch"], states["batch"]


def _read_undamaged_states(prefix: Path) -> Dict[str, Any]:
    """Return the states of a checkpoint all of whose files are as they were written.

    Raises:
        CheckpointError: they are not; the message names checkpoints beside it that are.
    """
    wrong = find_damage(prefix)
    if wrong is None:
        return read_states(prefix)
    others = [
        str(other) for other in newest_first(prefix.parent) if other.name != prefix.name and find_damage(other) is None
    ]
    raise CheckpointError(f"{wrong}; whole checkpoints there: {', '.join(others) or 'none'}")


def remove_old(folder: Path, keep: Optional[int]) -> None:
    """Delete ``epoch_N`` checkpoints but the ``keep`` newest; None keeps all."""
    if keep is None:
        return
    numbers = _epochs(folder)
    for number in numbers[: max(0, len(numbers) - keep)]:
        for suffix in (STATES, OPTIMIZER, RAW, PEERS, WEIGHTS):  # the position first: without it there is no checkpoint
            add_suffix(folder / f"epoch_{number}", suffix).unlink(missing_ok=True)


def _epochs(folder: Path) -> List[int]:
    """Return the numbers of the ``epoch_N`` checkpoints, sorted."""
    names = (re.fullmatch(rf"epoch_(\d+)({STATES}|{file_set.COMMIT})", path.name) for path in folder.glob("epoch_*"))
    return sorted({int(match.group(1)) for match in names if match})
