"""A recipe with other data to evaluate on, and what an evaluation tells of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional

from ppcls.config.fields import Component
from ppcls.config.schema import Config, Loader, Split
from ppcls.data.datasets import SUPPLIED_DATASET
from ppcls.engine.criteria import eval_metrics
from ppcls.engine.inference import transform_ops
from ppcls.utils.paths import user_path

_BATCH_SIZE = 32  # where the recipe has no evaluation
_MAX_MATRIX = 100  # classes, up to which it is said what a class is taken for
_PATHS = ("image_root", "cls_label_path")
_OF_CLASSES = ("Precision", "Recall", "F1")


def with_evaluation_data(config: Config, section: Mapping[str, Any]) -> Config:
    """Return a recipe that is evaluated on other data, prepared as the recipe's own, and has no other data.

    Args:
        section: ``DataLoader.Eval.dataset`` without its transforms.

    Raises:
        ConfigError: the recipe does not say how images are prepared.
    """
    evaluation = config.DataLoader.Eval
    ops = transform_ops(config) if evaluation is None else evaluation.dataset.transform_ops
    values: Dict[str, Any] = {
        "dataset": {**section, "transform_ops": ops},
        "sampler": {"batch_size": _BATCH_SIZE if evaluation is None else evaluation.sampler.batch_size},
        "loader": (Loader() if evaluation is None else evaluation.loader).model_dump(),
    }
    data = config.DataLoader.model_copy(update={"Train": None, "Eval": Split.model_validate(values)})
    return config.model_copy(update={"DataLoader": data})


def missing_data(config: Config) -> Optional[str]:
    """Return why a run cannot be evaluated on the data of its recipe, None if they are where they were."""
    if config.DataLoader.Eval is None:
        return "its recipe has no evaluation data (DataLoader.Eval)"
    dataset = config.DataLoader.Eval.dataset
    if dataset.name == SUPPLIED_DATASET:
        return "its data were given in Python"
    paths = [dataset.arguments[key] for key in _PATHS if isinstance(dataset.arguments.get(key), str)]
    gone = next((path for path in paths if not user_path(path).exists()), None)
    return None if gone is None else f"its data are not there: {gone} (looked for from {Path.cwd()})"


def with_moved_lists(config: Config, run: Path) -> Config:
    """Return the recipe of a run with the lists of its data where they are now, if they were moved with the run.

    Args:
        run: the folder of the run's checkpoint, at its present place.
    """
    before = user_path(config.run_dir)
    for side in ("Train", "Eval"):
        section = getattr(config.DataLoader, side)
        listed = None if section is None else section.dataset.arguments.get("cls_label_path")
        if section is None or not isinstance(listed, str) or user_path(listed).exists():
            continue
        # Of a run with stages, the lists are in the folder above those of the stages.
        for old, new in ((before, run), (before.parent, run.parent)):
            found = new / Path(listed).name
            if user_path(listed).parent == old and found.is_file():
                dataset = section.dataset.model_copy(update={"cls_label_path": str(found)})
                moved = section.model_copy(update={"dataset": dataset})
                loaders = config.DataLoader.model_copy(update={side: moved})
                config = config.model_copy(update={"DataLoader": loaders})
                break
    return config


def with_class_metrics(config: Config) -> Config:
    """Return a recipe whose evaluation also has precision, recall and F1 of each class in the details.

    With one label per image and up to 100 classes it has the confusion matrix, too.
    """
    metrics = [dict(component) for component in eval_metrics(config)]
    given = {name: component for component in metrics for name in component}
    for name in _OF_CLASSES:
        if name not in given:
            metrics.append({name: {"average": "none", **_threshold(config)}})
            continue
        arguments = given[name][name] or {}
        averages = arguments.get("average", "macro")
        averages = [averages] if isinstance(averages, str) else list(averages)
        given[name][name] = {**arguments, "average": list(dict.fromkeys([*averages, "none"]))}
    few = config.Arch.class_num <= _MAX_MATRIX and not config.Global.use_multilabel
    extra: List[Component] = [{"ConfusionMatrix": None}] if few and "ConfusionMatrix" not in given else []
    section = config.Metric.model_copy(update={"Eval": [*metrics, *extra]})
    return config.model_copy(update={"Metric": section})


def _threshold(config: Config) -> Dict[str, Any]:
    """Return the argument by which a class counts as predicted where the answers of the model have it."""
    threshold = config.Infer.PostProcess.arguments.get("threshold")
    return {"threshold": threshold} if config.Global.use_multilabel and isinstance(threshold, (float, list)) else {}
