"""What a recipe must have before any work starts."""

from __future__ import annotations

import numpy as np

from ppcls.config.schema import Config, Split
from ppcls.data import check_validation_split
from ppcls.data.build import shared_files
from ppcls.data.datasets import Dataset
from ppcls.data.loader import DataLoader
from ppcls.engine import criteria
from ppcls.engine.state import Best
from ppcls.errors import ConfigError
from ppcls.registry import suggest
from ppcls.utils.logging import warn_once
from ppcls.utils.text import listed

_MAX_LISTED = 20  # classes in a message


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
    require_training_sizes(config)
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
    if config.has_class_num:  # else it is not known yet, and this is called again when it is
        criteria.build_metrics(config, "Train")
        best_by(config)


def require_training_sizes(config: Config) -> None:
    """Refuse images of training that the model is not built for; evaluation and inference do not mind them.

    Raises:
        ConfigError: they have another size.
    """
    if config.training_problems:
        raise ConfigError("\n".join(config.training_problems))


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
    """Return by which metric or loss the best model is chosen; warn of one that is the same for all models.

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
    metric = combined.renamed.get(metric, metric) if metric not in metrics else metric
    if metric not in (*metrics, *losses):
        where = config.where("Global", "best_metric")
        raise ConfigError(f"{where}: Global.best_metric: no {metric!r} is evaluated{suggest(metric, metrics + losses)}")
    if metric == f"top{config.Arch.class_num}" and metric in metrics:
        _warn_of_constant(config, metric, "top1" if "top1" in metrics and metric != "top1" else "loss")
    return Best(metric, lower=metric in (combined.lower_is_better if metric in metrics else losses))


def _warn_of_constant(config: Config, metric: str, better: str) -> None:
    """Say that a top-k accuracy of k classes chooses no model, and which metric would."""
    asked = config.Global.best_metric
    key = ("Metric", "Eval") if asked is None else ("Global", "best_metric")
    stopping = "; Global.early_stopping never sees an improvement" if config.Global.early_stopping is not None else ""
    warn_once(
        "%s: %s: %s of %d classes is 1 whatever the model answers: the best model is the one with the lowest loss%s; "
        "to choose it otherwise, give Global.best_metric, such as %s",
        *(config.where(*key), ".".join(key), metric, config.Arch.class_num, stopping),
        better,
    )


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


def require_class_count(config: Config, dataset: Dataset) -> None:
    """Refuse to train a model of another class count than that of named classes.

    Raises:
        ConfigError: ``Arch.class_num`` is another number, and ``Global.allow_unused_classes`` does not allow it.
    """
    names, count = dataset.class_names, config.Arch.class_num
    if names is None or len(names) == count or dataset.is_multilabel:  # whose columns are counted elsewhere
        return
    found = f"{config.where('Arch', 'class_num')}: Arch.class_num: is {count}, and DataLoader.Train has {len(names)}"
    found += f" classes: {listed(names, _MAX_LISTED)}"
    if len(names) < count and config.Global.allow_unused_classes:
        warn_once("%s; the other %d get no images", found, count - len(names))
        return
    advice = "set it to that number, or leave it out (-o Arch.class_num=null)"
    if dataset.from_list:
        advice += ", or correct labels.txt, which is beside the list or in image_root"
    if len(names) < count:
        advice += "; for more outputs than classes: -o Global.allow_unused_classes=true"
    raise ConfigError(f"{found}; {advice}")


def warn_of_shared_files(train: Dataset, evaluation: Dataset) -> None:
    """Say that images are used for both training and evaluation."""
    shared = shared_files(train, evaluation)
    if shared:
        warn_once(
            "DataLoader.Eval: %d of its images are in DataLoader.Train too, such as %s: the evaluation does not show "
            "how well the model does on new images; split them, with val_fraction or ppcls split-data",
            *(len(shared), shared[0]),
        )


def warn_of_unused_classes(config: Config, dataset: Dataset) -> None:
    """Say that a list has images of some of the model's classes only."""
    if dataset.is_multilabel:
        return
    used = np.unique(dataset.labels)
    if dataset.class_names is not None:
        lacking = sorted(set(range(len(dataset.class_names))) - set(used.tolist()))
        if lacking:
            names = listed([dataset.class_names[label] for label in lacking], _MAX_LISTED)
            text = "DataLoader.Train has no images of %d of its %d classes: %s"
            warn_once(text, len(lacking), len(dataset.class_names), names)
    elif len(used) < config.Arch.class_num:
        warn_once(
            "DataLoader.Train has images of %d of the %d classes (Arch.class_num, %s), with labels from %d to %d",
            *(len(used), config.Arch.class_num, config.where("Arch", "class_num"), used[0], used[-1]),
        )
