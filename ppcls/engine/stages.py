"""Training in one go or in stages, each from the weights of the one before."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Optional

from ppcls.config.schema import AUTO, Config
from ppcls.config.stages import WEIGHTS
from ppcls.engine import checks, device, loop, setup
from ppcls.engine.checkpointing import checkpoint, file_set, finished
from ppcls.engine.result import TrainResult
from ppcls.engine.signals import InterruptedRunError, SignalHandler
from ppcls.engine.supplied import Supplied, copy_weights
from ppcls.errors import ConfigError, DataError, MachineError, WeightsError
from ppcls.utils import distributed
from ppcls.utils.logging import get_logger, repeats_dropped
from ppcls.utils.paths import user_path
from ppcls.weights import load_weights
from ppcls.weights.download import is_url
from ppcls.weights.reader import find_file


@repeats_dropped()
def train(config: Config, stage: Optional[str] = None, supplied: Optional[Supplied] = None) -> TrainResult:
    """Train as the recipe says; stages in their order, those that are finished left out.

    Args:
        stage: the only one to train.
        supplied: what Python code gives in place of what the recipe names.

    Returns:
        What training led to; of a recipe with stages that of the last one, with those of all in ``stages``.

    Raises:
        ConfigError, DataError, WeightsError, CheckpointError, MachineError: something is wrong; found before the first
            step of the first stage where it can be.
        TrainingError: the loss is not finite.
        InterruptedRunError: asked to stop; the run was saved.
    """
    if stage is None and not config.Stages:
        return loop.train(config, supplied=supplied)
    recipes = {stage: config.stage(stage)} if stage is not None else dict(config.stages)
    _check_weight_options(config, stage)
    pending = [name for name, recipe in recipes.items() if finished.finished_result(recipe) is None]
    for name in pending:
        with _prefix_errors(name):
            checks.require_trainable(recipes[name])
        _check_start(config, name, pending)
    for name in pending[1:]:
        with _prefix_errors(name):
            setup.dry_run(recipes[name], supplied)
    results: Dict[str, TrainResult] = {}
    # Connects the processes, which may have to agree before the first training.
    device.setup_device(next(iter(recipes.values())))
    with SignalHandler() as signals:
        for number, (name, recipe) in enumerate(recipes.items(), start=1):
            title = f"stage {name}" + (f" ({number} of {len(recipes)})" if len(recipes) > 1 else "")
            results[name] = _train_stage(recipe, title, signals, supplied)
            if number < len(recipes):
                _stop_if_asked(signals, name)
    for name, recipe in recipes.items():
        get_logger().info("stage %s: %s; in %s", name, _result_text(results[name].best), recipe.run_dir)
    trained = any(result.trained for result in results.values())
    return dataclasses.replace(list(results.values())[-1], stages=results, trained=trained)


@contextlib.contextmanager
def _prefix_errors(stage: str) -> Iterator[None]:
    """Begin errors with the stage that they are of."""
    try:
        yield
    except (ConfigError, DataError, MachineError) as error:
        named = type(error)(f"stage {stage}: {error}")
        raise (distributed.mark_on_all_ranks(named) if error.on_all_ranks else named) from error.__cause__


def _result_text(result: Dict[str, Any]) -> str:
    """Return "best top1 0.98000 at epoch 3", or "3 epochs" where nothing was evaluated."""
    values = [f"best {name} {value:.5f} at epoch" for name, value in result.items() if name != "epoch"]
    return " ".join([*values, f"{result['epoch']}"]) if values else f"{result['epoch']} epochs"


def _stop_if_asked(signals: SignalHandler, done: str) -> None:
    """Raise an InterruptedRunError when a signal came too late for the stage that has just ended; a collective."""
    (signal,) = distributed.sync_errors(None, signals.signal or 0)
    if signal:
        signals.signal = signal
        raise InterruptedRunError(f"stopped after stage {done}; continue with: the same command", signals.exit_code)


def _train_stage(recipe: Config, title: str, signals: SignalHandler, supplied: Optional[Supplied]) -> TrainResult:
    """Train one stage, or find that it is finished."""
    folder = user_path(recipe.run_dir)
    # Asked again: an earlier stage that went on may have other best weights now.
    best = finished.finished_result(recipe)
    if best is not None:
        get_logger().info("%s was finished before: %s", title, _result_text(best))
        if supplied is not None and supplied.model is not None and checkpoint.exists(folder / "latest"):
            load_weights(supplied.model, f"{folder / 'latest'}{checkpoint.WEIGHTS}")
        return TrainResult.of_folder(folder, best)
    start = recipe.Global.pretrained_model or recipe.Arch.pretrained or "random weights"
    get_logger().info(
        "%s, in %s, from %s", title, folder, "its newest checkpoint" if checkpoint.newest_first(folder) else start
    )
    # Each stage trains a copy: what it freezes or converts, the next one may train.
    copied = (supplied or Supplied()).with_model_copy()
    result = loop.train(recipe, signals, copied)
    if supplied is not None and supplied.model is not None and copied.model is not None:
        copy_weights(copied.model, supplied.model)
    return result


def evaluation_recipe(config: Config, name: Optional[str]) -> Config:
    """Return the recipe by which the weights of a stage (of the last one) are evaluated, used and exported.

    Weights given with ``-o Global.pretrained_model`` are taken, else the stage's best ones, or its latest.

    Raises:
        ConfigError: there is no such stage.
    """
    if name is None and not config.Stages:
        return config
    name = name if name is not None else list(config.stages)[-1]
    recipe = config.stage(name)
    weights = config.Global.pretrained_model
    if weights is None or not config.where("Global", "pretrained_model").startswith("-o "):
        folder = Path(recipe.run_dir)
        best = checkpoint.exists(folder / "best_model") or recipe.Global.eval_during_train
        weights = str(folder / ("best_model" if best else "latest"))
    get_logger().info("stage %s, weights %s", name, weights)
    return recipe.with_global(pretrained_model=weights, checkpoints=None)


def _check_weight_options(config: Config, stage: Optional[str]) -> None:
    """Raise a ConfigError for what is said of one run where there are several."""
    prefix = config.Global.checkpoints
    if stage is None and prefix and prefix != AUTO:
        raise ConfigError(
            f"{config.where('Global', 'checkpoints')}: Global.checkpoints: the recipe has Stages, which continue by "
            f"themselves; to continue one of them from {prefix}, add --stage, of {', '.join(config.stages)}"
        )
    where = config.where("Global", "pretrained_model")
    if stage is not None and where.startswith("-o ") and stage != next(iter(config.stages)):
        index = list(config.stages).index(stage)
        raise ConfigError(f"{where}: stage {stage} starts from its init; give -o Stages.{index}.init=...")


def _check_start(config: Config, name: str, pending: List[str]) -> None:
    """Check that the weights which a stage starts from are there, or will be.

    Raises:
        ConfigError: they are not.
    """
    recipes = config.stages
    weights = recipes[name].Global.pretrained_model
    index = list(recipes).index(name)
    if not index or weights is None or is_url(weights) or recipes[name].Global.checkpoints != AUTO:
        return  # of the first stage, and of a checkpoint, loading itself says what is wrong
    assert config.Stages is not None
    init, previous = config.Stages[index].init or "best", list(recipes)[index - 1]
    if init in WEIGHTS:
        _check_classes(recipes, name, previous)
        if previous in pending:
            return
    started = checkpoint.newest_first(user_path(recipes[name].run_dir))
    try:
        file_set.finish_commit(checkpoint.strip_suffix(weights))
        find_file(weights)
    except WeightsError:
        if started:
            return  # it has its own weights since
        missing = f"{recipes[name].where('Global', 'pretrained_model')}: stage {name} starts from "
        raise ConfigError(
            f"{missing}the {init} weights of stage {previous}, which are not there ({weights}.pdparams): run that "
            f"stage first, by --stage {previous}, or all by leaving --stage out"
            if init in WEIGHTS
            else f"{missing}{weights}, which is not there (init is one of {', '.join(WEIGHTS)}, a file or a URL)"
        ) from None
    if init in WEIGHTS and finished.finished_result(recipes[previous]) is None:
        get_logger().warning("stage %s is not finished: stage %s starts from what there is", previous, name)


def _check_classes(recipes: Mapping[str, Config], name: str, previous: str) -> None:
    """Raise a ConfigError for a classifier that would be dropped without being asked to."""
    if not (recipes[name].has_class_num and recipes[previous].has_class_num):
        return  # they follow from the data
    count, previous_count = recipes[name].Arch.class_num, recipes[previous].Arch.class_num
    if count != previous_count and not recipes[name].Global.drop_mismatched_head:
        raise ConfigError(
            f"{recipes[name].where('Arch', 'class_num')}: stage {name} has {count} classes and starts from stage "
            f"{previous}, which has {previous_count}; Global.drop_mismatched_head: true begins with a new classifier"
        )
