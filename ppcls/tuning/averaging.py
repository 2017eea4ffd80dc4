"""The mean of the weights of several checkpoints.

Source: stochastic weight averaging (https://arxiv.org/abs/1803.05407), where the statistics of batch norms are
recomputed for the mean; of several runs, model soups (https://arxiv.org/abs/2203.05482).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from ppcls.config.overrides import Changes
from ppcls.config.schema import Config
from ppcls.engine import device
from ppcls.engine.checkpointing import checkpoint, file_set, run_dir
from ppcls.engine.checks import best_by
from ppcls.engine.evaluation import evaluate
from ppcls.engine.model import build_model
from ppcls.errors import CheckpointError, ConfigError, MachineError
from ppcls.tuning import batch_norm
from ppcls.utils import distributed
from ppcls.utils.folders import ensure_writable
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import add_suffix
from ppcls.weights import load_weights, restricted_load

NAME = "averaged"
_MIN_CHECKPOINTS = 2
_PER_FILE = (file_set.DIGEST, file_set.TOKEN, "files")  # of saved states


@dataclass(frozen=True)
class Averaged:
    """What averaging led to.

    Attributes:
        checkpoints: what was averaged.
        metric: by which models are compared.
        results: losses and metrics of the average and of the weights that it is compared with, by name.
        is_worse: whether one of these is better.
        kept: the prefix of the average; None if it was not kept.
        batch_norms: how many layers have new statistics.
        images: how many training images these are of.
    """

    checkpoints: Sequence[Path]
    metric: str
    results: Mapping[str, Mapping[str, Any]]
    is_worse: bool
    kept: Optional[Path]
    batch_norms: int
    images: int


@dataclass
class _Mean:
    """A mean of weights on its way to a checkpoint."""

    arrays: Dict[str, np.ndarray]
    states: Dict[str, Any] = field(default_factory=dict)
    batch_norms: int = 0
    images: int = 0


def last_epochs(folder: Path, count: Optional[int]) -> List[Path]:
    """Return the last ``epoch_N`` checkpoints of a run, the newest last.

    Args:
        count: how many; None for all that are there.

    Raises:
        CheckpointError: there are fewer, or not two; the message says how a run keeps more.
    """
    found = [prefix for prefix in checkpoint.newest_first(folder) if prefix.name.startswith("epoch_")][::-1]
    wanted = _MIN_CHECKPOINTS if count is None else count
    if len(found) >= wanted:
        return found if count is None else found[-count:]
    names = ", ".join(prefix.name for prefix in found) or "none"
    kept = checkpoint.read_states(found[-1])["config"]["Global"] if found else {}
    settings = f" (Global.save_interval: {kept['save_interval']}, keep_checkpoints: {kept['keep_checkpoints']})"
    raise CheckpointError(
        f"{folder}: {wanted} epoch_N checkpoints are needed, and there are {len(found)}: {names}"
        f"{settings if kept else ''}. A run keeps more with -o Global.save_interval=1 Global.keep_checkpoints={wanted}"
        + (f"; of this one: --last {len(found)}" if len(found) >= _MIN_CHECKPOINTS else "")
    )


def compared_checkpoints(folder: Path) -> List[Path]:
    """Return the checkpoints of a run that an average has to compete with."""
    return [folder / name for name in ("best_model", "latest") if checkpoint.exists(folder / name)]


def average(
    prefixes: Sequence[Path], others: Sequence[Path], target: Path, keep_anyway: bool = False, changes: Changes = ()
) -> Averaged:
    """Average weights, recompute the statistics of batch norms, and compare the result with other weights.

    Args:
        prefixes: of the checkpoints, the newest last; its recipe is used.
        others: checkpoints to compare with on ``DataLoader.Eval``.
        target: prefix of the checkpoint to write, if none of the others is better.
        keep_anyway: write it even then.
        changes: changes of the recipe.

    Raises:
        ConfigError: they are of different models, or the recipe lacks what is needed.
        CheckpointError, WeightsError, DataError, MachineError: as their messages say.
    """
    _require_one_process()
    ensure_writable(target.parent, f"{target}", "choose another place with --out")
    config = run_dir.load_recipe_of_checkpoint(prefixes[-1], changes)
    best = best_by(config)
    device.setup_device(config)
    mean = _mean_of(prefixes)
    _fit_batch_norms(config, mean)
    with run_dir.lock_run_dir(target.parent), tempfile.TemporaryDirectory(dir=target.parent, prefix=".averaged.") as at:
        candidate = Path(at) / NAME
        checkpoint.write(checkpoint.Snapshot({checkpoint.WEIGHTS: mean.arrays}, mean.states), candidate)
        results = _evaluate_all({NAME: candidate, **_named(others)}, changes)
        value = results[NAME][best.metric]
        is_worse = any(best.gain(value, result[best.metric]) < 0 for result in results.values())
        kept = target if keep_anyway or not is_worse else None
        if kept is not None:
            checkpoint.link_checkpoint(candidate, target)
    return Averaged(prefixes, best.metric, results, is_worse, kept, mean.batch_norms, mean.images)


def _require_one_process() -> None:
    if distributed.world_size() > 1:
        raise MachineError("averaging runs in one process: start it without the launcher")


def _mean_of(prefixes: Sequence[Path]) -> _Mean:
    """Return the mean of the weights, computed in float64; numbers that are no weights are those of the last one.

    Raises:
        CheckpointError: a checkpoint is damaged.
        ConfigError: they are of different models.
    """
    states = [_whole_states(prefix) for prefix in prefixes]
    for prefix, other in zip(prefixes, states):
        _require_same_model(prefixes[-1], states[-1], prefix, other)
    totals: Dict[str, np.ndarray] = {}
    for prefix in prefixes:
        arrays = restricted_load(add_suffix(prefix, checkpoint.WEIGHTS))
        if totals and {name: np.shape(array) for name, array in arrays.items()} != _shapes(totals):
            raise ConfigError(f"{prefix} and {prefixes[0]} have other tensors: they are of different models")
        for name, array in arrays.items():
            is_weight = array.dtype.kind == "f"
            totals[name] = totals.get(name, 0.0) + array.astype(np.float64) if is_weight else array
    mean = {
        name: (total / len(prefixes)).astype(arrays[name].dtype) if arrays[name].dtype.kind == "f" else total
        for name, total in totals.items()
    }
    kept = {key: value for key, value in states[-1].items() if key not in _PER_FILE}
    return _Mean(mean, {**kept, "averaged": {"checkpoints": [str(prefix) for prefix in prefixes]}})


def _shapes(arrays: Mapping[str, np.ndarray]) -> Dict[str, Tuple[int, ...]]:
    return {name: np.shape(array) for name, array in arrays.items()}


def _whole_states(prefix: Path) -> Dict[str, Any]:
    wrong = checkpoint.find_damage(prefix)
    if wrong is not None:
        raise CheckpointError(wrong)
    return checkpoint.read_states(prefix)


def _require_same_model(prefix: Path, states: Mapping[str, Any], other: Path, others: Mapping[str, Any]) -> None:
    """Refuse checkpoints whose weights mean different things.

    Raises:
        ConfigError: another architecture, or other classes.
    """
    for what, before, now in (
        ("architectures", states["config"]["Arch"], others["config"]["Arch"]),
        ("classes", states.get("classes"), others.get("classes")),
    ):
        if before != now:
            raise ConfigError(f"{prefix} and {other} have different {what}: their weights cannot be averaged")


def _fit_batch_norms(config: Config, mean: _Mean) -> None:
    """Replace the statistics of batch norms, of which the mean is none, by those of the training images."""
    model = build_model(config)
    load_weights(model, mean.arrays, adapt=False, image_size=mean.states.get("image_size"))
    norms = batch_norm.norms_of(model, config.Global.freeze)
    if norms:
        with batch_norm.open_training_images(config) as loader:
            mean.images = batch_norm.recompute(config, model, norms, loader)
        mean.batch_norms = len(norms)
        mean.arrays = {name: np.asarray(tensor) for name, tensor in model.state_dict().items()}
        get_logger().info(
            "statistics of %d batch norms recomputed on %d training images, prepared as for evaluation",
            *(mean.batch_norms, mean.images),
        )
    else:
        get_logger().info("%s has no batch norms that are trained: nothing to recompute", config.Arch.name)
    mean.states["averaged"].update(batch_norms=mean.batch_norms, images=mean.images)


def _named(prefixes: Sequence[Path]) -> Dict[str, Path]:
    """Return checkpoints by name, by path where names are the same."""
    names = [prefix.name for prefix in prefixes]
    return {name if names.count(name) == 1 else str(prefix): prefix for name, prefix in zip(names, prefixes)}


def _evaluate_all(prefixes: Mapping[str, Path], changes: Changes) -> Dict[str, Dict[str, Any]]:
    """Evaluate weights, those that several checkpoints share once."""
    results: Dict[str, Dict[str, Any]] = {}
    known: Dict[str, Dict[str, Any]] = {}
    for name, prefix in prefixes.items():
        digest = checkpoint.read_states(prefix)["files"][checkpoint.WEIGHTS]
        if digest not in known:
            get_logger().info("evaluating %s", name)
            result = evaluate(run_dir.load_recipe_of_checkpoint(prefix, changes))
            result.pop("details", None)
            known[digest] = result
        results[name] = known[digest]
    return results
