"""The recipe, weights and class names of a run, from the checkpoints in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Mapping, Optional, Sequence

from ppcls import config as configs
from ppcls.config.schema import Config
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.checkpointing.run_dir import EXPORT
from ppcls.engine.components import REGISTRIES
from ppcls.errors import CheckpointError, ConfigError, WeightsError
from ppcls.utils import atomic


def recipe(path: Path, changes: Sequence[str] = (), stage: Optional[str] = None) -> Config:
    """Return the recipe that a run was trained by, with its best weights, else its latest, as those to use.

    The export goes to ``inference`` beside them unless ``changes`` say otherwise: the folder may have been moved.

    Args:
        path: ``Global.output_dir`` of the run; of one with stages, that of all. Or one checkpoint, see ``find``.
        changes: ``Key.sub=value`` overrides.
        stage: of a run with stages; None takes the last one that has been trained.

    Raises:
        CheckpointError, WeightsError: there is no checkpoint, or it is damaged.
        ConfigError: it carries no recipe, or that has mistakes with the changes, or there is no such stage.
    """
    prefix = find(path, stage)
    return load_recipe_of_checkpoint(prefix, changes, {"save_inference_dir": str(prefix.parent / EXPORT)})


def best(folder: Path, stage: Optional[str] = None) -> Path:
    """Return the prefix of a run's best checkpoint, else of its latest; the arguments are those of ``recipe``.

    Raises:
        CheckpointError: there is none.
        ConfigError: there is no such stage.
    """
    chosen = _of_stage(folder, stage)
    prefix = next((chosen / name for name in ("best_model", "latest") if checkpoint.exists(chosen / name)), None)
    if prefix is None:
        raise CheckpointError(f"{folder}: no such folder" if not folder.is_dir() else _no_run(folder))
    return prefix


def find(path: Path, stage: Optional[str] = None) -> Path:
    """Return the prefix of the checkpoint that a path means: a run's folder (see ``best``), a prefix or a file of it.

    Raises:
        CheckpointError: there is none.
        ConfigError: it is another file, or there is no such stage.
    """
    if path.is_dir():
        return best(path, stage)
    if stage is not None:
        raise ConfigError(f"--stage {stage}: {path} is one checkpoint; the folder of a run may have stages")
    prefix = checkpoint.strip_suffix(str(path))
    if checkpoint.exists(prefix) or atomic.add_suffix(prefix, checkpoint.WEIGHTS).is_file():
        return prefix
    if path.is_file():
        raise ConfigError(
            f"{path}: weights without a recipe: give it with -c RECIPE; of an exported model, give the folder"
        )
    raise CheckpointError(f"{path}: no such run folder, checkpoint, or exported model")


def load_recipe_of_checkpoint(
    prefix: Path, changes: Sequence[str] = (), places: Optional[Mapping[str, str]] = None
) -> Config:
    """Return the recipe that a checkpoint carries; of its files only the weights and their ``.pdstates`` are needed.

    Args:
        places: values of ``Global`` in the place of those of then.

    Raises:
        ConfigError: it carries none; or a mistake in ``changes``.
        CheckpointError, WeightsError: its files are damaged.
    """
    states = atomic.add_suffix(prefix, checkpoint.STATES)
    weights = atomic.add_suffix(prefix, checkpoint.WEIGHTS)
    if not checkpoint.exists(prefix):
        raise ConfigError(f"{weights} comes without its recipe ({states.name}): give it with -c RECIPE")
    try:
        digests = checkpoint.read_states(prefix)["files"]
    except CheckpointError as error:
        raise CheckpointError(f"{error}; give the recipe with -c RECIPE") from None
    if not weights.is_file() or atomic.sha256(weights) != digests.get(checkpoint.WEIGHTS):
        raise WeightsError(f"{weights}: missing, damaged, or not what was saved with {states.name}")
    return _load(prefix, changes, places or {})


def _load(prefix: Path, changes: Sequence[str], places: Mapping[str, str]) -> Config:
    """Return a checkpoint's recipe with its weights as those to use, and with ``places`` in ``Global``."""
    states = checkpoint.read_states(prefix)
    values = states["config"]
    values["Global"].update(checkpoints=None, pretrained_model=str(prefix), **places)
    if states.get("class_names"):  # those are used: their file need not be where the checkpoint is now
        values["Infer"]["PostProcess"]["class_id_map_file"] = None
    return configs.load_values(values, f"{prefix}{checkpoint.STATES}", changes, registries=REGISTRIES)


def _no_run(folder: Path) -> str:
    return f"{folder}: no checkpoint here (best_model or latest): not the folder of a run"


def _of_stage(folder: Path, stage: Optional[str]) -> Path:
    """Return the folder of a stage, or ``folder`` itself where the run has none."""
    stages = _stages(folder)
    if stage is None:
        return folder if not stages or checkpoint.newest_first(folder) else stages[_last(folder, stages)]
    if stage not in stages:
        raise ConfigError(f"{folder}: no stage {stage!r} here; there are {', '.join(stages) or 'none'}")
    return stages[stage]


def _stages(folder: Path) -> Dict[str, Path]:
    """Return the folders of the stages that have been trained, by name."""
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return {path.name: path for path in below if (path / "config.yaml").is_file() and checkpoint.newest_first(path)}


def _last(folder: Path, stages: Dict[str, Path]) -> str:
    """Return the stage from whose weights no other one started.

    Raises:
        ConfigError: there are several.
    """
    starts = set()
    for path in stages.values():
        start = checkpoint.read_states(checkpoint.newest_first(path)[0])["config"]["Global"]["pretrained_model"]
        starts.add(Path(start or "").parent.name)
    last = [name for name in stages if name not in starts]
    if len(last) != 1:
        raise ConfigError(f"{folder}: which stage is the last one is not known; give --stage, of {', '.join(stages)}")
    return last[0]
