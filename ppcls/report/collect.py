"""A run's folder as the data of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ppcls.config.schema import Config
from ppcls.config.show import to_yaml
from ppcls.data.datasets import Classes, Dataset
from ppcls.engine.callbacks.early_stopping import evaluations_without_improvement
from ppcls.engine.checkpointing import checkpoint, run_dir
from ppcls.engine.data import open_dataset
from ppcls.engine.evaluation_data import with_moved_lists
from ppcls.engine.label_names import match_classes, model_classes
from ppcls.engine.state import Best
from ppcls.errors import CheckpointError, ConfigError, DataError, MachineError
from ppcls.report.records import Records, load_predictions, read_records
from ppcls.report.run_data import RunData

_VERSIONS = ("ppcls", "paddle", "numpy", "python")


def collect(folder: Path, stage: Optional[str] = None, with_data: bool = True) -> RunData:
    """Return what there is of a run; what is missing or damaged is in its ``problems``.

    Args:
        folder: ``Global.output_dir`` of the run; of one with stages, that of all or of one.
        stage: the stage to show; None takes the last one that has been trained.
        with_data: whether to open the data that it was trained with.

    Raises:
        CheckpointError, ConfigError: it is not the folder of a run, or has no such stage.
    """
    prefix = run_dir.best_checkpoint(folder, stage)
    config = with_moved_lists(run_dir.load_recipe_of_checkpoint(prefix), prefix.parent)
    stage_folder = prefix.parent
    problems: List[str] = []
    states = _newest_states(stage_folder, prefix)
    train = _open(config, "Train", problems) if with_data else None
    evaluation = _open(config, "Eval", problems) if with_data else None
    classes = model_classes(config, f"{prefix}{checkpoint.WEIGHTS}")
    if evaluation is not None:
        try:
            evaluation, _ = match_classes(config, classes, "the model", evaluation)
        except DataError as error:
            problems.append(f"DataLoader.Eval: {error}")
            evaluation = None
    best = Best(**states["best"])
    data = RunData(
        folder=folder,
        config=config,
        recipe=_recipe(stage_folder, config),
        stages=read_stages(stage_folder, str(states["config"]["Global"].get("pretrained_model") or ""), folder),
        stage_folder=stage_folder,
        best=best,
        epochs=int(states["epoch"]),
        class_names=class_names(config, states.get("class_names"), classes, evaluation),
        train=train,
        evaluation=evaluation,
        problems=problems,
        versions={name: states[name] for name in _VERSIONS if name in states},
        finished=_is_finished(config, states, best),
    )
    _take_predictions(data)
    for records in data.stages:
        problems += records.problems
    return data


def _newest_states(folder: Path, prefix: Path) -> Dict[str, Any]:
    """Return the position of the newest checkpoint that can be read, for the state of the run."""
    for candidate in [*checkpoint.newest_first(folder), prefix]:
        try:
            return checkpoint.read_states(candidate)
        except CheckpointError:
            continue
    raise CheckpointError(f"{folder}: no checkpoint that can be read")


def _is_finished(config: Config, states: Mapping[str, Any], best: Best) -> bool:
    """Return whether training went through all epochs, or ended early as the recipe says."""
    settings = config.Global.early_stopping
    if states["epoch"] >= (config.Global.epochs or 0) or settings is None:
        return bool(states["epoch"] >= (config.Global.epochs or 0))
    kind = "eval" if config.EMA is None else "eval_ema"
    return evaluations_without_improvement(states["history"], kind, best, settings.min_delta) >= settings.patience


def _open(config: Config, side: str, problems: List[str]) -> Optional[Dataset]:
    """Return the data of a side; None, with the reason in ``problems``, where they are not there."""
    if getattr(config.DataLoader, side) is None:
        return None
    try:
        return open_dataset(config, side)
    except (DataError, ConfigError, OSError) as error:
        problems.append(f"the data are not there, so there are no photos and no heat maps of them: {error}")
        return None


def _recipe(folder: Path, config: Config) -> str:
    """Return the text of ``config.yaml``, which has the origin of each value; else the checkpoint's recipe."""
    try:
        return (folder / "config.yaml").read_text(encoding="utf-8")
    except OSError:
        return to_yaml(config, origins=False)


def read_stages(stage_folder: Path, start: str, root: Path) -> List[Records]:
    """Return the records of a training and of the stages before it, in order.

    Args:
        stage_folder: of the training.
        start: the weights that it started from, which are in the folder of the stage before, if there is one.
        root: the folder of the run: the stages' parent; the same as ``stage_folder`` where there are none.
    """
    if stage_folder.resolve() == root.resolve():
        return [read_records(stage_folder)]
    chain = [stage_folder]
    while start:
        previous = root / Path(start).parent.name
        checkpoints = checkpoint.newest_first(previous) if previous.is_dir() else []
        if not checkpoints or previous in chain:
            break
        chain.insert(0, previous)
        try:
            start = str(checkpoint.read_states(checkpoints[0])["config"]["Global"].get("pretrained_model") or "")
        except CheckpointError:
            break
    return [read_records(path, path.name) for path in chain]


def class_names(
    config: Config, names: Optional[Sequence[str]], classes: Optional[Classes], evaluation: Optional[Dataset]
) -> List[str]:
    """Return a name for each class: those saved with the weights, of the data, labels of the list, or numbers."""
    count = config.Arch.class_num
    of_data = evaluation.class_names if evaluation is not None else None
    saved = (classes.names, classes.label_names) if classes is not None else (None, None)
    for found in (names, saved[0], of_data, saved[1]):
        if found is not None and len(found) == count:
            return [str(name) for name in found]
    return [str(label) for label in range(count)]


def _take_predictions(data: RunData) -> None:
    """Take the answers that training kept, if they are of the best epoch."""
    try:
        epoch, predictions = load_predictions(data.stage_folder)
    except MachineError as error:
        data.problems.append(str(error))
        return
    data.predictions = predictions if epoch == data.best.epoch and _fits(data, predictions) else {}


def _fits(data: RunData, predictions: Mapping[str, Any]) -> bool:
    """Return whether answers are of the data that are there, as far as these are."""
    if data.evaluation is None:
        return True
    return all(
        one.images == len(data.evaluation) and _same_labels(data.evaluation, one) for one in predictions.values()
    )


def _same_labels(dataset: Dataset, predictions: Any) -> bool:
    labels = dataset.labels[predictions.indices]
    return labels.shape == predictions.labels.shape and bool(
        (labels.astype(predictions.labels.dtype) == predictions.labels).all()
    )
