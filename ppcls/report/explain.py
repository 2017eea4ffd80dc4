"""Heat maps of some answers and the features of some images, by the best weights."""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterator, List, Sequence

import numpy as np

from ppcls.analysis.grad_cam import heat_maps
from ppcls.config.schema import Config
from ppcls.data.loader import DataLoader
from ppcls.engine.inspection import pixels
from ppcls.engine.predictions import Predictions
from ppcls.engine.predictor import feature_function
from ppcls.inference.heat_maps import overlay
from ppcls.report.run_data import Explanations, RunData, heat_key
from ppcls.report.statistics import worst_labels
from ppcls.utils.logging import get_logger

MAX_FEATURES = 400  # images in the map of embeddings
_BATCH = 8  # images that go through the model together
# On a slow machine there are fewer heat maps and features.
_SECONDS_FOR_HEAT_MAPS, _SECONDS_FOR_FEATURES = 15.0, 10.0


def explain(data: RunData, loader: DataLoader, load_model: Callable[[], Any], rows: Sequence[int]) -> Iterator[None]:
    """Fill ``data.explanations``, and the thumbnails of the heat maps; yield after each batch of images.

    What fails is in ``Explanations.problems``: a report without heat maps is a report.

    Args:
        loader: of the evaluation.
        load_model: returns the model with the best weights.
        rows: of the predictions whose answers are explained, the most important first.
    """
    explanations = data.explanations = Explanations()
    predictions = data.answers
    if predictions is None or not len(predictions):
        return
    try:
        model = load_model()
        model.eval()
        yield
    except Exception as error:  # noqa: BLE001  code of anybody's
        _note(explanations, "the best weights cannot be loaded", error)
        return
    try:
        yield from _heat_maps(data, explanations, loader, model, list(rows))
    except Exception as error:  # noqa: BLE001  code of anybody's
        _note(explanations, "there are no heat maps", error)
    try:
        yield from _features(explanations, predictions, loader, model)
    except Exception as error:  # noqa: BLE001  code of anybody's
        _note(explanations, "there is no map of the embeddings", error)


def explained_class(predictions: Predictions, row: int) -> int:
    """Return the class that a heat map is of: the predicted one; of multi-label data the label that is most wrong."""
    if predictions.is_multilabel:
        return int(worst_labels(predictions)[0][row])
    return int(predictions.predicted[row])


def _note(explanations: Explanations, what: str, error: Exception) -> None:
    get_logger().debug("%s", what, exc_info=error)
    explanations.problems.append(f"{what}: {type(error).__name__}: {error}")


def _heat_maps(
    data: RunData, explanations: Explanations, loader: DataLoader, model: Any, rows: List[int]
) -> Iterator[None]:
    predictions, config = data.answers, data.config
    assert predictions is not None
    deadline = time.monotonic() + _SECONDS_FOR_HEAT_MAPS
    classes: Dict[int, int] = {row: explained_class(predictions, row) for row in rows}
    for first in range(0, len(rows), _BATCH):
        if time.monotonic() > deadline:
            explanations.problems.append(f"heat maps take long here: the first {first} of {len(rows)} are shown")
            return
        part = rows[first : first + _BATCH]
        images = _load(loader, predictions, part)
        maps = heat_maps(model, images, [classes[row] for row in part], predictions.is_multilabel)
        for row, image, heat in zip(part, images, maps):
            data.thumbnails.add(heat_key(row), overlay(_view(config, image), heat))
            explanations.heat_maps[row] = classes[row]
        yield


def _view(config: Config, image: np.ndarray) -> np.ndarray:
    """Return the pixels [H, W, 3] of an image as the model gets it."""
    return pixels(config, "Eval", image)


def _features(explanations: Explanations, predictions: Predictions, loader: DataLoader, model: Any) -> Iterator[None]:
    rows = spread(predictions, MAX_FEATURES)
    run = feature_function(model)
    deadline = time.monotonic() + _SECONDS_FOR_FEATURES
    parts: List[np.ndarray] = []
    for first in range(0, len(rows), _BATCH):
        if time.monotonic() > deadline:
            break
        parts.append(run(_load(loader, predictions, rows[first : first + _BATCH])))
        yield
    if parts:
        explanations.features = np.concatenate(parts)
        explanations.feature_rows = rows[: len(explanations.features)]


def spread(predictions: Predictions, count: int) -> List[int]:
    """Return up to ``count`` rows, of each class as many as its share, in an order that any part of them is fair."""
    labels = predictions.labels if predictions.labels.ndim == 1 else predictions.labels.argmax(axis=1)
    by_class = np.argsort(labels, kind="stable")
    places = np.unique(np.linspace(0, len(by_class) - 1, min(count, len(by_class))).round().astype(int))
    rows = by_class[places]
    return [int(row) for row in np.random.default_rng(0).permutation(rows)]


def _load(loader: DataLoader, predictions: Predictions, rows: Sequence[int]) -> np.ndarray:
    """Return images of the evaluation as the model gets them, [B, C, H, W] float32."""
    return loader.load_batch(0, [int(predictions.indices[row]) for row in rows]).images
