"""What a recipe must have before any work starts."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

from ppcls.config.schema import Config, Split
from ppcls.data import check_validation_split
from ppcls.data.loader import DataLoader
from ppcls.engine import criteria
from ppcls.engine.state import Best
from ppcls.errors import ConfigError, DataError
from ppcls.registry import suggest


def require_single_run(config: Config) -> None:
    """Refuse a recipe that is several runs.

    Raises:
        ConfigError: it has stages, and none was chosen.
    """
    if config.Stages:
        raise ConfigError(
            f"the recipe has Stages ({', '.join(config.stages)}): choose one, with --stage or, in Python, "
            f"ppcls.engine.stages.evaluation_recipe(config, name)"
        )


def require_trainable(config: Config) -> None:
    """Refuse to train by a recipe that lacks what training needs.

    Raises:
        ConfigError: it does.
    """
    require_single_run(config)
    if config.Global.epochs is None:
        raise ConfigError("Global.epochs: missing; training needs it")
    if config.Optimizer is None:
        raise ConfigError("Optimizer: missing; training needs it")
    require_split(config, "Train")
    if config.Global.eval_during_train and config.DataLoader.Eval is None:
        raise ConfigError("DataLoader.Eval: missing; give it, or turn evaluation off (Global.eval_during_train: false)")
    if config.Global.early_stopping is not None and not config.Global.eval_during_train:
        raise ConfigError(
            f"{config.where('Global', 'early_stopping')}: Global.early_stopping: nothing is evaluated with "
            f"Global.eval_during_train: false ({config.where('Global', 'eval_during_train')}); remove one"
        )
    if config.Distillation is not None and config.Distillation.teacher is not None and config.Global.use_multilabel:
        raise ConfigError(
            f"{config.where('Distillation')}: Distillation.teacher: its classes exclude each other in its loss, and "
            f"Global.use_multilabel is true; give Distillation.models, and DistillationDMLLoss in Loss.Train"
        )
    criteria.build_metrics(config, "Train")
    best_by(config)


def require_split(config: Config, name: str) -> Split:
    """Return ``DataLoader.Train`` or ``DataLoader.Eval``.

    Raises:
        ConfigError: the recipe has no such section, or both divide one folder between them and disagree about it.
    """
    section = getattr(config.DataLoader, name)
    if section is None:
        raise ConfigError(f"DataLoader.{name}: missing; the recipe has no data to {name.lower()} with")
    if config.DataLoader.Train is not None and config.DataLoader.Eval is not None:
        train, evaluation = (side.dataset.model_dump() for side in (config.DataLoader.Train, config.DataLoader.Eval))
        check_validation_split(train, evaluation)
    return section


def best_by(config: Config) -> Best:
    """Return by which metric or loss the best model is chosen.

    Raises:
        ConfigError: the evaluation gives no such value.
    """
    combined = criteria.build_metrics(config, "Eval")
    metrics = combined.names
    if not metrics:
        raise ConfigError(
            f"{config.where('Metric', 'Eval')}: Metric.Eval: reports no number by which the best model could be "
            f"chosen ({', '.join(combined.metrics)}); add a metric that does, such as TopkAcc"
        )
    losses = [*criteria.build_loss(config, "Eval").names, "loss"]
    metric = config.Global.best_metric or metrics[0]
    if metric not in (*metrics, *losses):
        where = config.where("Global", "best_metric")
        raise ConfigError(f"{where}: Global.best_metric: no {metric!r} is evaluated{suggest(metric, metrics + losses)}")
    return Best(metric, lower=metric in (combined.lower_is_better if metric in metrics else losses))


def require_fixed_images(config: Config, train_loader: DataLoader) -> None:
    """Refuse images that change in size or number where that is not possible.

    Raises:
        ConfigError: a static graph has to take several sizes, or a teacher has to judge several views of an image.
    """
    if config.Global.to_static and train_loader.plan.varies:
        raise ConfigError(
            f"{config.where('Global', 'to_static')}: Global.to_static: a static graph takes images of one size, and "
            f"those of training change (MultiScaleSampler, Global.train_mode: progressive); set it to false"
        )
    if config.Distillation is not None and train_loader.views > 1:
        raise ConfigError(
            f"{config.where('Distillation')}: Distillation: a teacher sees one image of each sample, and "
            f"transform_ops makes {train_loader.views} (splits); remove one of them"
        )


def require_same_classes(train_loader: DataLoader, eval_loader: Optional[DataLoader]) -> None:
    """Refuse to train on one numbering of the classes and to evaluate on another.

    Raises:
        DataError: the two data sets name their classes differently.
    """
    train = train_loader.dataset.class_names
    other = eval_loader.dataset.class_names if eval_loader is not None else None
    if train is None or other is None or train == other:
        return
    differing, names = first_difference(train, other)
    raise DataError(
        f"DataLoader.Train and DataLoader.Eval number their classes differently: class {differing} is {names[0]} in "
        f"training ({len(train)} classes) and {names[1]} in evaluation ({len(other)} classes)"
    )


def first_difference(first: Sequence[str], second: Sequence[str]) -> Tuple[int, List[str]]:
    """Return the first class in which two lists of names differ, and how each names it, for messages."""
    same = zip(first, second)
    index = next((i for i, pair in enumerate(same) if pair[0] != pair[1]), min(len(first), len(second)))
    return index, [repr(names[index]) if index < len(names) else "missing" for names in (first, second)]
