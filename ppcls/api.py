"""Training from Python, and the recipes of runs."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Sequence, Union

from paddle import nn

from ppcls.config.overrides import Changes
from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset, ItemDataset
from ppcls.engine import load_config, stages
from ppcls.engine import result as engine_result
from ppcls.engine.callbacks.runner import HOOKS
from ppcls.engine.checkpointing import run_dir
from ppcls.engine.supplied import Supplied, copy_model
from ppcls.errors import CheckpointError, ConfigError
from ppcls.inference.predictor import BasePredictor
from ppcls.prediction import load_predictor
from ppcls.supplied_recipe import RecipeCompletion
from ppcls.utils.paths import user_path


@dataclass(frozen=True)
class TrainResult(engine_result.TrainResult):
    """What ``ppcls.train`` returns.

    Attributes:
        best: the best evaluation, {"top1": ..., "epoch": ...}; without evaluation {"epoch": how many were trained}.
        metrics: all losses and metrics of that evaluation, by name.
        history: one record per evaluation, as in ``metrics.jsonl``.
        run_dir: the folder of the run.
        weights: prefix of the best checkpoint, else of the latest; None where the best one is not in this folder.
        stages: of a recipe with stages, the result of each by name, in their order; the other attributes are those of
            the last one.
        model: the model that was given to ``ppcls.train``; None if the recipe named one.
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
        # A copy: the model has the weights of the last epoch, and those of the best one are loaded here.
        model = None if self.model is None else copy_model(self.model)
        return load_predictor(self.weights, batch_size=batch_size, topk=topk, device=None, model=model)


def train(
    config: Union[Config, str, Path, Mapping[str, Any]],
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
    ``class_names``, a name. Labels are read once, before training, and the images with them; a data set with an
    attribute ``labels`` is not read for that.

    With data sets or a model given, the recipe may leave out what they stand for: ``DataLoader``, ``Arch.name``,
    ``Arch.class_num``. What is chosen then is in the log, and in ``config.yaml`` in the run's folder.

    Args:
        config: the recipe: a path, the name of a shipped one, nested dicts, or what ``ppcls.load_config`` returns.
        stage: the only one of the recipe's stages to train.
        changes: of the recipe, ``["Global.epochs=3"]`` as on the command line, or ``{"Global.epochs": 3}``.
        model: a layer that turns images [B, C, H, W] into logits [B, class_num], in place of the recipe's ``Arch``.
            It is trained in place, and has the weights of the last epoch afterwards. Its code is not stored: whoever
            loads the run gives a model like it.
        train_dataset: in place of ``DataLoader.Train.dataset``, whose transforms are kept; ``eval_dataset`` likewise.
        callbacks: objects with methods of ``ppcls.Callback``, called after those of the recipe.

    Raises:
        ConfigError, DataError, WeightsError, CheckpointError, MachineError: something is wrong; found before the first
            step where it can be.
        TrainingError: the loss is not finite, or memory ran out.
        CallbackError: a callback failed; the run was saved.
        InterruptedRunError: asked to stop; the run was saved.
    """
    _check_model(model)
    supplied = Supplied(
        model=model,
        train_dataset=_dataset(train_dataset, "train_dataset"),
        eval_dataset=_dataset(eval_dataset, "eval_dataset"),
        callbacks=_callbacks(callbacks),
    )
    completion = RecipeCompletion(supplied)
    nothing = model is None and train_dataset is None and eval_dataset is None
    if not (isinstance(config, Config) and nothing and not changes):
        config = load_config(config, changes, complete=completion)
    supplied = replace(supplied, notes=tuple(completion.notes))
    return _public(stages.train(config, stage, supplied), model)


def load_run_config(run: Union[str, os.PathLike[str]], changes: Changes = (), *, stage: Optional[str] = None) -> Config:
    """Return the recipe of a run with its best weights, for ``ppcls.evaluate``, ``ppcls.export`` and ``ppcls.infer``.

    Exports go to ``inference`` in the run's folder unless ``changes`` say otherwise.

    Args:
        run: the folder of the run, or a checkpoint.
        changes: of the recipe, ``["Global.epochs=3"]`` or ``{"Global.epochs": 3}``.
        stage: of a run with stages; None takes the last one that has been trained.

    Raises:
        CheckpointError, WeightsError: there is no checkpoint, or it is damaged.
        ConfigError: it carries no recipe, or that has mistakes with the changes, or there is no such stage.
    """
    return run_dir.load_recipe(user_path(run), changes, stage)


def _public(result: engine_result.TrainResult, model: Optional[nn.Layer]) -> TrainResult:
    values = {item.name: getattr(result, item.name) for item in fields(result)}
    values["stages"] = {name: _public(stage, model) for name, stage in result.stages.items()}
    return TrainResult(**values, model=model)


def _check_model(model: Any) -> None:
    if model is None or isinstance(model, nn.Layer):
        return
    what = f"the class {model.__name__}: give an instance" if inspect.isclass(model) else type(model).__name__
    raise ConfigError(f"model: expected a paddle.nn.Layer, not {what}")


def _dataset(given: Any, name: str) -> Optional[Dataset]:
    return given if given is None or isinstance(given, Dataset) else ItemDataset(given, name)


def _callbacks(given: Any) -> Sequence[Any]:
    if not isinstance(given, (list, tuple)):
        raise ConfigError(f"callbacks: expected a list of callbacks, not {type(given).__name__}")
    for index, callback in enumerate(given):
        if inspect.isclass(callback):
            raise ConfigError(f"callbacks[{index}]: {callback.__name__} is a class; give an instance")
        if not any(callable(getattr(callback, hook, None)) for hook in HOOKS):
            raise ConfigError(f"callbacks[{index}]: {type(callback).__name__} has none of {', '.join(HOOKS)}")
    return tuple(given)
