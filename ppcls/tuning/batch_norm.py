"""Statistics of batch norms, recomputed for weights that no training step has seen."""

from __future__ import annotations

from typing import Any, List, Sequence

import numpy as np
import paddle

from ppcls.config.schema import Config
from ppcls.data.build import build_loader
from ppcls.data.loader import DataLoader
from ppcls.engine import amp, freezing
from ppcls.engine.checks import require_split
from ppcls.engine.data import open_dataset
from ppcls.engine.memory import explain_evaluation_memory
from ppcls.engine.progress import progress_bar


def norms_of(model: paddle.nn.Layer, frozen: Sequence[str] = ()) -> List[Any]:
    """Return the batch norms of a model whose statistics a training changes.

    Args:
        frozen: parts that are not trained, see ``Global.freeze``.
    """
    model.train()
    freezing.keep_frozen_in_eval(model, frozen)
    layers = model.sublayers()
    found = [layer for layer in layers if layer.training and hasattr(layer, "_mean") and hasattr(layer, "_variance")]
    model.eval()
    return found


def open_training_images(config: Config) -> DataLoader:
    """Return the training images, prepared as for evaluation and in random order; a context manager.

    The order is that of the recipe's seed. Batches of one class each, as folders would give them, would have the
    statistics of that class.

    Raises:
        ConfigError, DataError: there are no data, or they are wrong.
    """
    train, evaluation = require_split(config, "Train"), require_split(config, "Eval")
    section = {
        "dataset": {"transform_ops": evaluation.dataset.transform_ops},
        "sampler": {"batch_size": evaluation.sampler.batch_size, "shuffle": True, "drop_last": False},
        "loader": train.loader.model_dump(),
    }
    dataset = open_dataset(config, "Train")
    return build_loader(section, train=True, seed=config.Global.seed, class_num=config.Arch.class_num, dataset=dataset)


def recompute(config: Config, model: paddle.nn.Layer, norms: Sequence[Any], loader: DataLoader) -> int:
    """Set the statistics of batch norms to those over all images; return the number of images.

    Everything else is in evaluation mode: nothing is dropped. A batch norm sees what those before it make of the same
    batch by the batch's own statistics, as in training. Mean and variance are those of all images together.
    """
    sums: List[np.ndarray] = [np.zeros((2, int(norm._mean.size))) for norm in norms]
    momenta = [norm._momentum for norm in norms]
    images = 0
    model.eval()
    for norm in norms:
        norm.train()
        norm._momentum = 0.0  # the statistics are those of the batch
    try:
        with paddle.no_grad(), explain_evaluation_memory(config), amp.evaluation_context(config, model):
            for batch in progress_bar(loader.epoch(0), "batch-norm statistics", len(loader)):
                model(paddle.to_tensor(batch.images))
                count = len(batch.images)
                images += count
                for norm, total in zip(norms, sums):
                    mean, variance = (np.asarray(part).astype(np.float64) for part in (norm._mean, norm._variance))
                    total += count * np.stack([mean, variance + mean**2])
        for norm, total in zip(norms, sums):
            mean, square = total / images
            norm._mean.set_value(mean.astype(np.float32))
            norm._variance.set_value((square - mean**2).astype(np.float32))
    finally:
        for norm, momentum in zip(norms, momenta):
            norm._momentum = momentum
        model.eval()
    return images
