"""Test-time augmentation: the probabilities of several views of an image, averaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import numpy as np

from ppcls.data.transforms import Compose
from ppcls.data.transforms.views import with_views
from ppcls.errors import ConfigError
from ppcls.inference.pipeline import Pipeline

Run = Callable[[np.ndarray], np.ndarray]


def averaged(run: Run) -> Run:
    """Return a function of batches [B, views, ...] that gives the mean of ``run`` over the views, [B, K]."""

    def run_views(batch: np.ndarray) -> np.ndarray:
        outputs = run(batch.reshape(-1, *batch.shape[2:]))
        return outputs.reshape(*batch.shape[:2], -1).mean(axis=1)

    return run_views


def augmented(pipeline: Pipeline, kind: str) -> Pipeline:
    """Return a pipeline that averages the probabilities over several views of each image.

    As many images go through the model together as before, views counted.

    Args:
        kind: one of ``ppcls.inference.choices.TTA``.

    Raises:
        ConfigError: the transforms cannot make such views.
    """
    if kind == "none":
        return pipeline
    if not isinstance(pipeline.transforms, Compose):
        raise ConfigError(f"tta: {kind}: needs the transforms of a recipe or an export")
    transforms = with_views(pipeline.transforms, kind)
    shape = pipeline.input_shape
    return replace(
        pipeline,
        transforms=transforms,
        run=averaged(pipeline.run),
        batch_size=max(1, pipeline.batch_size // transforms.views),
        input_shape=None if shape is None else (transforms.views, *shape),
        views=transforms.views,
    )
