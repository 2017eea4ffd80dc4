"""From a model's outputs to answers, as the recipe says, and whether all of a recipe is for the same kind of labels."""

from __future__ import annotations

from typing import List, Optional

from ppcls.config.schema import DEFAULT, Config
from ppcls.data.datasets import Dataset
from ppcls.errors import ConfigError
from ppcls.inference.postprocess import POSTPROCESSES, SIGMOID, PostProcess
from ppcls.loss import MULTI_LABEL, SINGLE_LABEL, CombinedLoss
from ppcls.registry import Source
from ppcls.utils.logging import get_logger

_SECTION = ("Infer", "PostProcess")
_SWITCH = "Global.use_multilabel"


def build_postprocess(config: Config, class_names: Optional[List[str]], topk: Optional[int] = None) -> PostProcess:
    """Build the recipe's post-processing.

    Args:
        class_names: by class id; None where they are not known.
        topk: classes in an answer, instead of the recipe's.

    Raises:
        ConfigError: it does not fit the classes or their names, or is for other labels than the recipe.
    """
    activation = getattr(POSTPROCESSES[config.postprocess_name].target, "activation", None)
    if activation is not None:
        _require_kind(config, activation == SIGMOID)
    try:
        built: PostProcess = POSTPROCESSES.build(
            config.postprocess_name,
            config.Infer.PostProcess.arguments,
            class_num=config.Arch.class_num,
            class_names=class_names,
        )
    except ConfigError as error:
        raise ConfigError(f"{_where(config, str(error))}: Infer.PostProcess: {error}") from error.__cause__
    _require_kind(config, built.is_multilabel)
    return built if topk is None else built.with_topk(topk)


def _where(config: Config, message: str) -> str:
    """Return where the argument was written whose keys a message has after the name of the post-processing."""
    path: List[str] = []
    for key in message.split(": ")[1:]:
        if config.where(*_SECTION, *path, key) == DEFAULT:
            break
        path.append(key)
    return config.where(*_SECTION, *path)


def _require_kind(config: Config, multilabel: bool) -> None:
    """Refuse a post-processing for another kind of labels than the recipe's."""
    if kind_of(multilabel) != label_kind(config):
        raise ConfigError(
            f"{config.where(*_SECTION)}: Infer.PostProcess: {config.postprocess_name} is for "
            f"{kind_of(multilabel)} models, and {describe_switch(config)}; change one of them"
        )


def log_reduced_topk(config: Config) -> None:
    """Say that answers have fewer classes than the recipe asks for."""
    topk = config.Infer.PostProcess.arguments.get("topk")
    if isinstance(topk, int) and topk > config.Arch.class_num:
        get_logger().info(
            "%s: Infer.PostProcess.topk: %d, and there are %d classes: answers have all of them",
            *(config.where(*_SECTION, "topk"), topk, config.Arch.class_num),
        )


def postprocess_source(config: Config) -> Optional[Source]:
    """Return where the post-processing comes from; None for ours."""
    return POSTPROCESSES[config.postprocess_name].source


def require_same_labels(config: Config, dataset: Dataset, name: str) -> None:
    """Refuse data of ``DataLoader.Train`` or ``.Eval`` that have other labels than the recipe says.

    Raises:
        ConfigError: several classes per image where the recipe expects one, or the reverse.
    """
    if kind_of(dataset.is_multilabel) != label_kind(config):
        advice = f"set {_SWITCH}: {'true' if dataset.is_multilabel else 'false'}, or change the data set"
        kind = kind_of(dataset.is_multilabel)
        raise ConfigError(f"DataLoader.{name}: the data are {kind}, and {describe_switch(config)}; {advice}")


def require_losses_for_labels(config: Config, losses: CombinedLoss, mode: str) -> None:
    """Refuse losses of ``Loss.Train`` or ``.Eval`` that are not for the recipe's kind of labels.

    Raises:
        ConfigError: one is not.
    """
    kind = label_kind(config)
    for index, (name, loss) in enumerate(zip(losses.names, losses.losses)):
        if kind not in loss.label_kinds:
            advice = "MultiLabelLoss, MultiLabelAsymmetricLoss or BCELoss" if kind == MULTI_LABEL else "CELoss"
            given = " and ".join(sorted(loss.label_kinds))
            raise ConfigError(
                f"{config.where('Loss', mode, index)}: Loss.{mode}: {name} is for {given} data, and "
                f"{describe_switch(config)}; use {advice}, or change {_SWITCH}"
            )


def label_kind(config: Config) -> str:
    """Return the recipe's kind of labels, ``SINGLE_LABEL`` or ``MULTI_LABEL``."""
    return kind_of(config.Global.use_multilabel)


def kind_of(multilabel: bool) -> str:
    """Return ``MULTI_LABEL`` or ``SINGLE_LABEL``."""
    return MULTI_LABEL if multilabel else SINGLE_LABEL


def describe_switch(config: Config) -> str:
    """Return which kind of labels the recipe says it has, and where."""
    value = "true" if config.Global.use_multilabel else "false"
    return f"{_SWITCH} is {value} ({config.where('Global', 'use_multilabel')})"
