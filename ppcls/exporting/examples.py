"""The example pictures of an export, chosen from the evaluation set."""

from __future__ import annotations

from typing import List

import numpy as np

from ppcls.config.schema import Config
from ppcls.data.datasets import Dataset, check_labels
from ppcls.data.transforms.decode import DecodeImage
from ppcls.engine.answers import require_same_labels
from ppcls.engine.data import open_dataset
from ppcls.engine.label_names import match_classes, model_classes
from ppcls.errors import ConfigError, DataError
from ppcls.inference.examples import Example
from ppcls.inference.inputs import Source
from ppcls.utils.logging import get_logger, warn_once
from ppcls.utils.opencv import cv2

_SHORT_SIDE = 256  # pixels; more where the model takes larger images
_QUALITY = 92  # of JPEG


def collect(config: Config, weights: str, count: int) -> List[Example]:
    """Return pictures of ``DataLoader.Eval``, one of each class first, with the class ids of the model.

    The pictures are decoded, made smaller and encoded again: nothing of their files' metadata is left.

    Args:
        weights: the path that ``load_required_weights`` has returned.
        count: how many; 0 opens no data.

    Raises:
        ConfigError: the recipe has no evaluation set, or one with other labels than the model.
        DataError: its data are missing, or a picture cannot be read.
    """
    if not count:
        return []
    if config.DataLoader.Eval is None:
        raise ConfigError("examples are pictures of DataLoader.Eval, which this recipe does not have")
    dataset = _evaluation_set(config, weights)
    chosen = choose(dataset.labels, count)
    if len(chosen) < count:
        get_logger().warning("%d examples, not %d: DataLoader.Eval has no more images", len(chosen), count)
    short_side = max(_SHORT_SIDE, *config.Global.image_shape[1:])
    return [Example(dataset.classes(index), _small_jpeg(_source(dataset, index), short_side)) for index in chosen]


def _evaluation_set(config: Config, weights: str) -> Dataset:
    dataset, notes = match_classes(config, model_classes(config, weights), "the model", open_dataset(config, "Eval"))
    for note in notes:
        warn_once("DataLoader.Eval: %s", note)
    check_labels(dataset, config.Arch.class_num)
    require_same_labels(config, dataset, "Eval")
    return dataset


def choose(labels: np.ndarray, count: int) -> List[int]:
    """Return the indices of at most ``count`` samples: one of each class, then a second one of each, and so on.

    Where there are more classes than samples to choose, the classes are spread evenly. The choice is always the same.

    Args:
        labels: class ids [N], or for several classes per image 0 or 1 for each class, [N, K].
    """
    if labels.ndim == 1:
        queues = [np.flatnonzero(labels == class_id) for class_id in np.unique(labels)]
    else:
        queues = [np.flatnonzero(column) for column in labels.T if column.any()]
    if len(queues) > count:
        queues = [queues[int(place)] for place in np.linspace(0, len(queues) - 1, count)]
    rng = np.random.default_rng(0)  # neighbours in a data set are often alike
    rounds = [rng.permutation(queue).tolist() for queue in queues]
    chosen: List[int] = []
    for depth in range(max(map(len, rounds), default=0)):
        for queue in rounds:
            if depth < len(queue) and len(chosen) < count and queue[depth] not in chosen:
                chosen.append(queue[depth])
    return chosen


def _source(dataset: Dataset, index: int) -> Source:
    return Source(dataset.describe(index), dataset.read(index))


def _small_jpeg(source: Source, short_side: int) -> bytes:
    """Return a picture as a JPEG file whose shorter side has at most ``short_side`` pixels.

    Raises:
        DataError: it cannot be read.
    """
    try:
        image = DecodeImage()(source.read(), np.random.default_rng(0))
    except DataError as error:
        raise DataError(f"{source.name}: {error}; repair or remove it, or export without examples") from None
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    if scale < 1:
        image = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise DataError(f"{source.name}: {width}x{height} pixels do not fit in a JPEG file; remove it from the data")
    return bytes(data.tobytes())
