"""The folder of a run: making room for a new run, and the recipe and weights of one that is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Collection, ContextManager, Dict, Mapping, Optional, Sequence

import paddle

from ppcls import config as configs
from ppcls.config.overrides import Changes
from ppcls.config.schema import Config
from ppcls.engine.checkpointing import checkpoint
from ppcls.engine.components import REGISTRIES
from ppcls.errors import CheckpointError, ConfigError, MachineError, WeightsError
from ppcls.inference import description
from ppcls.utils.digests import sha256
from ppcls.utils.locks import locked
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import add_suffix, suggest_path
from ppcls.weights.reader import SUFFIXES

# What a run writes. Anything else in the folder is not touched.
_RUN_FILES = re.compile(
    r"(?P<checkpoint>latest|best_model|averaged|epoch_\d+)(_raw|_peers)?\.(pdparams|pdopt|pdstates|commit)(\.\w+\.tmp)?"
    r"|train\.log|metrics\.jsonl|config\.yaml|finished\.json|skipped_images\.txt|vdl|profiler_log|profile\.html"
    r"|report\.html|pictures|predictions\.npz|speed\.jsonl|tensorboard|wandb"
)

METRICS = "metrics.jsonl"
EXPORT = "inference"  # where a run's model is exported to, in its folder


def lock_run_dir(folder: Path) -> ContextManager[None]:
    """Keep other runs out of a folder; the system lets it go when this process ends, however it ends.

    Raises:
        MachineError: another process trains in the folder.
    """
    advice = "wait for it, stop it, or choose another with -o Global.output_dir=... (with a folder of photos: --output)"
    return locked(folder / ".lock", f"Global.output_dir={folder}", "is training in this folder", advice)


def check_space(folder: Path, model: paddle.nn.Layer, averaged: bool = False) -> None:
    """Refuse to start where even two checkpoints (weights and at most two moments each) do not fit.

    Args:
        averaged: whether there is an average of the weights, too.

    Raises:
        MachineError: there is too little room.
    """
    weights = sum(int(p.size) * p.element_size() for p in model.state_dict().values())
    needed, free = 2 * (3 + averaged) * weights, shutil.disk_usage(folder).free
    if free < needed:
        raise MachineError(
            f"Global.output_dir={folder}: {free / 1e6:.1f} MB free, a run needs {needed / 1e6:.1f} MB; make room, or "
            f"choose another with -o Global.output_dir=... (with a folder of photos: --output)"
        )


def archive_previous_run(folder: Path) -> None:
    """Move an earlier run's files into ``previous_N``, so that a new one loses nothing."""
    earlier = [path for path in folder.iterdir() if _RUN_FILES.fullmatch(path.name) or _is_export(path)]
    if not earlier:
        return
    target = _archive(earlier, folder)
    prefix = target / "latest"
    advice = (
        f"To continue it instead: -o Global.checkpoints={prefix}"
        if checkpoint.exists(prefix)
        else "It had no checkpoint yet"
    )
    get_logger().warning("%s held another run, which was moved to %s. %s", folder, target, advice)


def _is_export(path: Path) -> bool:
    """Return whether this is where ``ppcls export RUN`` wrote the run's model."""
    return path.name == EXPORT and (path / description.FILE).is_file()


def archive_checkpoints(folder: Path, names: Collection[str]) -> Path:
    """Move checkpoints into ``previous_N``, with a copy of the metrics up to them; return where they are."""
    matches = [(path, _RUN_FILES.fullmatch(path.name)) for path in folder.iterdir()]
    target = _archive([path for path, match in matches if match and match["checkpoint"] in names], folder)
    if (folder / METRICS).exists():
        shutil.copy2(folder / METRICS, target / METRICS)
    return target


def _archive(paths: Sequence[Path], folder: Path) -> Path:
    number = 1
    while (folder / f"previous_{number}").exists():
        number += 1
    target = folder / f"previous_{number}"
    target.mkdir()
    for path in paths:
        path.rename(target / path.name)
    return target


def load_recipe(path: Path, changes: Changes = (), stage: Optional[str] = None) -> Config:
    """Return the recipe that a run was trained by, with its best weights, else its latest, as those to use.

    The export goes to ``inference`` beside them unless ``changes`` say otherwise: the folder may have been moved.

    Args:
        path: ``Global.output_dir`` of the run; of one with stages, that of all. Or one checkpoint.
        changes: ``Key.sub=value`` overrides, or values by dotted key.
        stage: of a run with stages; None takes the last one that has been trained.

    Raises:
        CheckpointError, WeightsError: there is no checkpoint, or it is damaged.
        ConfigError: it carries no recipe, or that has mistakes with the changes, or there is no such stage.
    """
    prefix = find_checkpoint(path, stage)
    return load_recipe_of_checkpoint(prefix, changes, {"save_inference_dir": str(prefix.parent / EXPORT)})


def best_checkpoint(folder: Path, stage: Optional[str] = None) -> Path:
    """Return the prefix of a run's best checkpoint, else of its latest; the arguments are those of ``load_recipe``.

    Raises:
        CheckpointError: there is none.
        ConfigError: there is no such stage.
    """
    run_folder = _stage_folder(folder, stage)
    prefix = next(
        (run_folder / name for name in ("best_model", "latest") if checkpoint.exists(run_folder / name)), None
    )
    if prefix is None:
        raise CheckpointError(f"{folder}: no such folder" if not folder.is_dir() else _no_run(folder))
    return prefix


def has_checkpoints(folder: Path) -> bool:
    """Return whether a run, or a stage of one, has saved something in a folder."""
    return any(checkpoint.exists(folder / name) for name in ("best_model", "latest"))


def find_checkpoint(path: Path, stage: Optional[str] = None) -> Path:
    """Return the prefix of the checkpoint that a path means: a run's folder (its best one), a prefix, or a file of it.

    Raises:
        CheckpointError: there is none.
        ConfigError: it is another file, or there is no such stage.
    """
    if path.is_dir():
        return best_checkpoint(path, stage)
    if stage is not None:
        raise ConfigError(f"stage {stage}: {path} is one checkpoint; the folder of a run may have stages")
    prefix = checkpoint.strip_suffix(str(path))
    if checkpoint.exists(prefix) or add_suffix(prefix, checkpoint.WEIGHTS).is_file():
        return prefix
    if path.is_file():
        raise ConfigError(f"{path}: {_describe_file(path)}")
    raise CheckpointError(f"{path}: no such run folder, checkpoint, or exported model{suggest_path(path)}")


def _describe_file(path: Path) -> str:
    """Return what a file is that is no checkpoint, and what to give instead."""
    folder = path.parent
    if description.is_export(folder):
        return f"a file of an exported model; give the folder, {folder}"
    if path.suffix in (".yaml", ".yml"):
        of_run = f"for the weights of the run, give {folder}"
        advice = of_run if has_checkpoints(folder) else "a recipe follows -c (config=)"
        return f"a YAML file, not a model; {advice}"
    if path.name.endswith(SUFFIXES):
        return "weights without a recipe: give it with -c RECIPE (config= in Python)"
    return "not a model; that is the folder of a run, a checkpoint, the folder of an exported model, or an .onnx file"


def load_recipe_of_checkpoint(
    prefix: Path, changes: Changes = (), global_changes: Optional[Mapping[str, str]] = None
) -> Config:
    """Return the recipe that a checkpoint carries; of its files only the weights and their ``.pdstates`` are needed.

    Args:
        global_changes: values of ``Global`` in place of those that the checkpoint has.

    Raises:
        ConfigError: it carries none; or a mistake in ``changes``.
        CheckpointError, WeightsError: its files are damaged.
    """
    states = add_suffix(prefix, checkpoint.STATES)
    weights = add_suffix(prefix, checkpoint.WEIGHTS)
    if not checkpoint.exists(prefix):
        raise ConfigError(
            f"{weights} comes without its recipe ({states.name}): give it with -c RECIPE (config=, in Python)"
        )
    try:
        digests = checkpoint.read_states(prefix)["files"]
    except CheckpointError as error:
        raise CheckpointError(f"{error}; give the recipe with -c RECIPE") from None
    if not weights.is_file() or sha256(weights) != digests.get(checkpoint.WEIGHTS):
        raise WeightsError(f"{weights}: missing, damaged, or not what was saved with {states.name}")
    return _load(prefix, changes, global_changes or {})


def _load(prefix: Path, changes: Changes, global_changes: Mapping[str, str]) -> Config:
    """Return a checkpoint's recipe with its weights as those to use, and with changes of ``Global``."""
    states = checkpoint.read_states(prefix)
    values = states["config"]
    # How the weights were read that the run began with is nothing to those that it made.
    began = {"weights_key": None, "weights_image_size": None}
    values["Global"].update(checkpoints=None, pretrained_model=str(prefix), **began, **global_changes)
    if states.get("class_names"):  # those are used: their file need not be where the checkpoint is now
        values["Infer"]["PostProcess"]["class_id_map_file"] = None
    return configs.load_values(values, f"{prefix}{checkpoint.STATES}", changes, registries=REGISTRIES)


def _no_run(folder: Path) -> str:
    return f"{folder}: no checkpoint here (best_model or latest): not the folder of a run"


def _stage_folder(folder: Path, stage: Optional[str]) -> Path:
    """Return the folder of a stage, or ``folder`` itself where the run has none."""
    stages = _stages(folder)
    if stage is None:
        return folder if not stages or checkpoint.newest_first(folder) else stages[_last_stage(folder, stages)]
    if stage not in stages:
        raise ConfigError(f"{folder}: no stage {stage!r} here; there are {', '.join(stages) or 'none'}")
    return stages[stage]


def _stages(folder: Path) -> Dict[str, Path]:
    """Return the folders of the stages that have been trained, by name."""
    below = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    return {path.name: path for path in below if (path / "config.yaml").is_file() and checkpoint.newest_first(path)}


def _last_stage(folder: Path, stages: Dict[str, Path]) -> str:
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
        raise ConfigError(
            f"{folder}: holds several runs ({', '.join(stages)}): give the folder of one, such as "
            f"{folder / next(iter(stages))}; if they are stages of one run, choose one with --stage (stage= in Python)"
        )
    return last[0]
