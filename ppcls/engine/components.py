"""Every component that a recipe may name, by kind."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Sequence, Union

from ppcls import config
from ppcls.arch import BACKBONES
from ppcls.config.schema import Config
from ppcls.data.batch_transforms import BATCH_TRANSFORMS
from ppcls.data.datasets import DATASETS
from ppcls.data.samplers import SAMPLERS
from ppcls.data.transforms import TRANSFORMS
from ppcls.loss import LOSSES
from ppcls.metric import METRICS
from ppcls.optimizer import OPTIMIZERS, SCHEDULES
from ppcls.registry import Registry

REGISTRIES: Dict[str, Registry] = {
    "architecture": BACKBONES,
    "batch_transform": BATCH_TRANSFORMS,
    "dataset": DATASETS,
    "loss": LOSSES,
    "metric": METRICS,
    "optimizer": OPTIMIZERS,
    "sampler": SAMPLERS,
    "schedule": SCHEDULES,
    "transform": TRANSFORMS,
}


def load_config(path: Union[str, Path], changes: Sequence[str] = ()) -> Config:
    """Load a recipe with ``Key.sub=value`` changes and check it against all registered components.

    Raises:
        ConfigError: every mistake at once, each with file and line or the override it came from.
    """
    return config.load(path, changes, registries=REGISTRIES)
