"""The labelled images on which models are compared, with the class ids of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generator, List, Optional, Sequence, Tuple

from ppcls.config.schema import Config
from ppcls.data.build import build_dataset, shared_files
from ppcls.data.datasets import Classes, Dataset, align_classes
from ppcls.data.folder_layout import find_layout
from ppcls.engine import load_config, stages
from ppcls.engine.data import open_dataset
from ppcls.engine.evaluation_data import missing_data, with_moved_lists
from ppcls.engine.label_names import export_classes, model_classes
from ppcls.engine.model import weights_path
from ppcls.errors import ConfigError, DataError
from ppcls.inference.predictor import BasePredictor, Predictor
from ppcls.inference.source import Source
from ppcls.utils.logging import get_logger
from ppcls.utils.paths import user_path

_RECIPES = (".yaml", ".yml")


def open_data(path: Optional[str], predictors: Sequence[BasePredictor]) -> Tuple[Dataset, str]:
    """Return labelled images, and where they are, for messages.

    Args:
        path: a folder, a list or shards (their validation part, where there is one), or a recipe (its
            ``DataLoader.Eval``); None for the evaluation data of the first model that is a run or a checkpoint.

    Raises:
        ConfigError, DataError: there are none, or they are malformed.
    """
    if path is None:
        config = next((item for item in map(recipe_of, predictors) if item is not None), None)
        if config is None:
            raise ConfigError("exported models have no data: give --data FOLDER, LIST or RECIPE")
        config = with_moved_lists(config, user_path(config.Global.pretrained_model or "").parent)
        missing = missing_data(config)
        if missing is not None:
            raise DataError(f"{missing}; say where such data are: --data FOLDER, LIST or RECIPE")
        return open_dataset(config, "Eval"), _place(config)
    if Path(path).suffix.lower() in _RECIPES:
        config = load_config(path)
        config = stages.evaluation_recipe(config, None) if config.Stages else config
        return open_dataset(config, "Eval"), path
    layout = find_layout(user_path(path), training=False)
    for note in layout.notes:
        get_logger().info("--data %s: %s", path, note)
    return build_dataset(layout.val or layout.train, train=False), path


def recipe_of(predictor: BasePredictor) -> Optional[Config]:
    """Return the recipe of a run or checkpoint; None for an export."""
    config: Optional[Config] = getattr(predictor, "config", None)
    return config


def _place(config: Config) -> str:
    arguments = config.DataLoader.Eval.dataset.arguments if config.DataLoader.Eval is not None else {}
    return str(arguments.get("cls_label_path") or arguments.get("image_root") or "the evaluation data of the run")


def with_classes_of(dataset: Dataset, predictor: BasePredictor, owner: str) -> Dataset:
    """Return the data with the class ids of a model; classes are matched by name.

    Args:
        owner: whose classes these are, for messages.

    Raises:
        ConfigError: one of both is for several labels per image, the other for one.
        DataError: the data have a class that the model does not know.
    """
    if dataset.is_multilabel != predictor.pipeline.postprocess.is_multilabel:
        kinds = ["one label per image", "several labels per image"]
        raise ConfigError(
            f"{owner} answers {kinds[predictor.pipeline.postprocess.is_multilabel]}, and the data have "
            f"{kinds[dataset.is_multilabel]}"
        )
    classes = _classes_of(predictor)
    if classes is None:
        get_logger().warning("%s has no class names: labels are compared by number", owner)
        return dataset
    aligned, notes = align_classes(dataset, classes, owner)
    for note in notes:
        get_logger().info("%s", note)
    return aligned


def _classes_of(predictor: BasePredictor) -> Optional[Classes]:
    if isinstance(predictor, Predictor):
        return export_classes(predictor.description)
    config = recipe_of(predictor)
    weights = None if config is None else weights_path(config)
    return None if config is None or weights is None else model_classes(config, weights)


def warn_of_training_images(dataset: Dataset, predictor: BasePredictor, owner: str) -> int:
    """Return how many of the images a run was trained on, with a warning; 0 where its training data are not known."""
    config = recipe_of(predictor)
    if config is None or config.DataLoader.Train is None:
        return 0
    try:
        found = len(shared_files(open_dataset(config, "Train"), dataset))
    except (ConfigError, DataError):  # they may be gone: they are not needed
        return 0
    if found:
        text = "%s was trained on %d of these %d images: its accuracy on them says little"
        get_logger().warning(text, owner, found, len(dataset))
    return found


def sources_of(dataset: Dataset) -> Generator[Source, None, None]:
    """Yield the images of a data set; one that cannot be read gives its error when it is read."""
    for index in range(len(dataset)):
        data: Any
        try:
            data = dataset.read(index)
        except DataError as error:
            data = error
        yield Source(dataset.describe(index), data)


def truths(dataset: Dataset) -> List[Tuple[int, ...]]:
    """Return the class ids of each image."""
    return [dataset.classes(index) for index in range(len(dataset))]
