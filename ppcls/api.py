"""The functions of Python that take a recipe: training, and the use of what was trained."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence, Union

from paddle import nn

from ppcls import engine, exporting
from ppcls.config.overrides import Changes
from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset, ItemDataset
from ppcls.engine import load_config, stages
from ppcls.engine import result as engine_result
from ppcls.engine.callbacks.runner import check_callback
from ppcls.engine.checkpointing import checkpoint, run_dir
from ppcls.engine.supplied import Supplied, copy_model, require_layer
from ppcls.errors import CheckpointError, ConfigError
from ppcls.inference import description
from ppcls.inference.pipeline import Answer
from ppcls.inference.predictor import BasePredictor
from ppcls.prediction import load_predictor
from ppcls.report.callback import ReportCallback
from ppcls.supplied_recipe import RecipeCompletion
from ppcls.utils.paths import add_suffix, user_path

Recipe = Union[Config, str, Path, Mapping[str, Any]]


@dataclass(frozen=True)
class TrainResult(engine_result.TrainResult):
    """What ``ppcls.train`` returns.

    Attributes:
        best: the best evaluation, {"top1": ..., "epoch": ...}; without evaluation {"epoch": how many were trained}.
        metrics: all losses and metrics of that evaluation, by name.
        history: one record per evaluation, as in ``metrics.jsonl``.
        run_dir: the folder of the run.
        weights: prefix of the best checkpoint, else of the latest; None where the best one is not in this folder.
        stages: for a recipe with stages, the result of each by name, in order; the other attributes are those of the
            last one.
        trained: False where the run was finished before, so that nothing was trained.
        model: the model that was given to ``ppcls.train``; None if the recipe names one.
    """

    stages: Dict[str, TrainResult]  # type: ignore[assignment]
    model: Optional[nn.Layer] = None

    def load_predictor(self, batch_size: Optional[int] = None, topk: Optional[int] = None) -> BasePredictor:
        """Return a predictor with the best weights; see ``ppcls.load_predictor``.

        Raises:
            CheckpointError: they are not in the run's folder.
        """
        if self.weights is None:
            raise CheckpointError(f"{self.run_dir}: the best weights are not here, but where the run began")
        # A copy: the model has the weights of the last epoch, and the best ones are loaded here.
        model = None if self.model is None else copy_model(self.model)
        return load_predictor(self.weights, batch_size=batch_size, topk=topk, device=None, model=model)


def train(
    config: Recipe,
    *,
    stage: Optional[str] = None,
    changes: Changes = (),
    model: Optional[nn.Layer] = None,
    train_dataset: Any = None,
    eval_dataset: Any = None,
    callbacks: Sequence[Any] = (),
) -> TrainResult:
    """Train a model.

    A data set is anything with ``__len__`` and ``__getitem__(index) -> (image, label)``. An image is a uint8 array
    [H, W, 3] in RGB, a Pillow image, the path of a file or its bytes; a label is a class id or, if the data set has
    ``class_names``, a name. Before training, every item is read once for its label, unless the data set has an
    attribute ``labels``.

    Where data sets or a model are given, the recipe may leave out ``DataLoader``, ``Arch.name`` and ``Arch.class_num``.
    The log and ``config.yaml`` in the run's folder show the values chosen for them.

    Args:
        config: the recipe: a path, the name of a shipped one, nested dicts, or what ``ppcls.load_config`` returns.
        stage: trains only this one of the recipe's stages.
        changes: changes of the recipe: ``["Global.epochs=3"]`` as on the command line, or ``{"Global.epochs": 3}``.
        model: a layer that turns images [B, C, H, W] into logits [B, class_num], in place of the recipe's ``Arch``.
            It is trained in place, and has the weights of the last epoch afterwards. Its code is not stored: give a
            model of the same kind to load the run.
        train_dataset: in place of ``DataLoader.Train.dataset``, whose transforms are used; ``eval_dataset`` likewise.
        callbacks: objects with methods of ``ppcls.Callback``, called after those of the recipe.

    Raises:
        ConfigError, DataError, WeightsError, CheckpointError, MachineError: as their messages say; before the first
            step where possible.
        TrainingError: the loss is not finite, or memory ran out.
        CallbackError: a callback failed; the run was saved.
        InterruptedRunError: a signal stopped the run; it was saved.
    """
    require_layer(model)
    supplied = Supplied(
        model=model,
        train_dataset=_dataset(train_dataset, "train_dataset"),
        eval_dataset=_dataset(eval_dataset, "eval_dataset"),
        callbacks=_callbacks(callbacks),
    )
    completion = RecipeCompletion(supplied)
    nothing_supplied = model is None and train_dataset is None and eval_dataset is None
    if not (isinstance(config, Config) and nothing_supplied and not changes):
        config = load_config(config, changes, complete=completion)
    callbacks = (ReportCallback.of(config), *supplied.callbacks)
    supplied = replace(supplied, notes=tuple(completion.notes), callbacks=callbacks)
    return _public(stages.train(config, stage, supplied), model)


def load_run_config(run: Union[str, os.PathLike[str]], changes: Changes = (), *, stage: Optional[str] = None) -> Config:
    """Return the recipe of a run, with its best weights, for ``ppcls.evaluate``, ``ppcls.export`` and ``ppcls.infer``.

    Exports go to ``inference`` in the run's folder unless ``changes`` say otherwise.

    Args:
        run: the folder of the run, or a checkpoint.
        changes: changes of the recipe, ``["Global.epochs=3"]`` or ``{"Global.epochs": 3}``.
        stage: the stage of a run with stages; None takes the last one that has been trained.

    Raises:
        CheckpointError, WeightsError: there is no checkpoint, or it is damaged.
        ConfigError: the checkpoint has no recipe, the changes are invalid, or there is no such stage.
    """
    return run_dir.load_recipe(user_path(run), changes, stage)


def evaluate(config: Recipe, *, changes: Changes = (), stage: Optional[str] = None) -> Dict[str, Any]:
    """Evaluate weights on ``DataLoader.Eval``; return losses and metrics by name, in every process.

    What metrics report that is not one number, such as a confusion matrix, is in "details", by the metric's name.

    Args:
        config: the folder of a run or a checkpoint, whose weights are evaluated by the recipe that they were trained
            with; or a recipe that names weights: a path, the name of a shipped one, nested dicts, or what
            ``ppcls.load_config`` and ``ppcls.load_run_config`` return.
        changes: changes of the recipe, ``["Global.device=cpu"]`` or ``{"Global.device": "cpu"}``.
        stage: the stage of a recipe or a run with stages; None takes the last one.

    Raises:
        ConfigError, CheckpointError, DataError, WeightsError: as their messages say.
    """
    return engine.evaluate(_recipe_with_weights(config, changes, stage))


def infer(config: Recipe, *, changes: Changes = (), stage: Optional[str] = None) -> List[Answer]:
    """Classify ``Infer.infer_imgs`` (or the images of ``Infer.infer_list``) and write ``predictions.json``.

    Args:
        config, changes, stage: as for ``evaluate``.

    Returns:
        One dict per image: class_ids, scores, file_name, label_names and what else the post-processing gives; file_name
        and error if it cannot be read. Of several processes the first returns all, the others none.

    Raises:
        ConfigError, CheckpointError, DataError, WeightsError: as their messages say.
    """
    return engine.infer(_recipe_with_weights(config, changes, stage))


def export(
    config: Recipe,
    options: Optional[exporting.Options] = None,
    *,
    changes: Changes = (),
    stage: Optional[str] = None,
) -> Dict[str, Any]:
    """Export weights to ``Global.save_inference_dir`` and compare the result with them.

    Args:
        config, changes, stage: as for ``evaluate``. The export of a run goes to ``inference`` in its folder.
        options: other forms to write; see ``ppcls.exporting.Options``.

    Returns:
        {"folder", "images": how many were compared, "max_difference" of a probability, "batch_norms": {"folded",
        "kept"}, "models": the result of the comparison by file; for int8 with the accuracy before and after}.

    Raises:
        ConfigError, CheckpointError, WeightsError, MachineError: as their messages say.
        ExportError: an exported model answers differently. Nothing is written then, and an earlier export stays.
    """
    return exporting.export(_recipe_with_weights(config, changes, stage), options)


def evaluate_export(
    config: Recipe,
    path: Union[str, os.PathLike[str]],
    backend: str = "auto",
    *,
    changes: Changes = (),
    stage: Optional[str] = None,
) -> Dict[str, Any]:
    """Evaluate an exported model on ``DataLoader.Eval``; return what ``evaluate`` does.

    The data set, its batches, losses and metrics are the recipe's. The preprocessing is the export's; a warning says
    where it differs from the recipe's.

    Args:
        config, changes, stage: as for ``evaluate``; weights are not used. The model computes on ``Global.device``.
        path: the export's folder, or an ONNX file.
        backend: "paddle", "onnx" or "auto".

    Raises:
        ConfigError, CheckpointError, DataError, MachineError: as their messages say.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ConfigError(f"path: must be that of an exported model, not {type(path).__name__}")
    return exporting.evaluate_export(_recipe_of_stage(config, changes, stage), Path(path), backend)


def _recipe_with_weights(recipe: Recipe, changes: Changes, stage: Optional[str]) -> Config:
    """Return the recipe by which weights are used."""
    run = _run_of(recipe)
    if run is not None:
        return run_dir.load_recipe(run, changes, stage)
    return stages.evaluation_recipe(_loaded(recipe, changes), stage)


def _recipe_of_stage(recipe: Recipe, changes: Changes, stage: Optional[str]) -> Config:
    """Return the recipe by which data are read; its weights are not used."""
    run = _run_of(recipe)
    if run is not None:
        return run_dir.load_recipe(run, changes, stage)
    config = _loaded(recipe, changes)
    return config.stage(stage or list(config.stages)[-1]) if config.Stages or stage is not None else config


def _loaded(recipe: Recipe, changes: Changes) -> Config:
    return recipe if isinstance(recipe, Config) and not changes else load_config(recipe, changes)


def _run_of(recipe: Recipe) -> Optional[Path]:
    """Return the path of a run or checkpoint; None if it is a recipe.

    Raises:
        ConfigError: it is an exported model.
    """
    if not isinstance(recipe, (str, os.PathLike)):
        return None
    path = user_path(recipe)
    if description.is_export(path):
        raise ConfigError(
            f"config: {recipe} is an exported model; give a recipe or the folder of the run, and the export to "
            "ppcls.evaluate_export or ppcls.load_predictor"
        )
    prefix = checkpoint.strip_suffix(str(path))
    has_weights = checkpoint.exists(prefix) or add_suffix(prefix, checkpoint.WEIGHTS).is_file()
    return path if path.is_dir() or has_weights else None


def _public(result: engine_result.TrainResult, model: Optional[nn.Layer]) -> TrainResult:
    values = {item.name: getattr(result, item.name) for item in fields(result)}
    values["stages"] = {name: _public(stage, model) for name, stage in result.stages.items()}
    return TrainResult(**values, model=model)


def _dataset(dataset: Any, name: str) -> Optional[Dataset]:
    return dataset if dataset is None or isinstance(dataset, Dataset) else ItemDataset(dataset, name)


def _callbacks(callbacks: Any) -> Sequence[Any]:
    if not isinstance(callbacks, (list, tuple)):
        raise ConfigError(f"callbacks: expected a list of callbacks, not {type(callbacks).__name__}")
    for index, callback in enumerate(callbacks):
        if inspect.isclass(callback):
            raise ConfigError(f"callbacks[{index}]: {callback.__name__} is a class; give an instance")
        check_callback(f"{type(callback).__name__} (callbacks[{index}])", callback)
    return tuple(callbacks)
