"""Every component that a recipe may name, by kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Mapping, Optional, Set, Union

from ppcls import config
from ppcls.arch import BACKBONES, list_models, spec
from ppcls.config.loading import Completion
from ppcls.config.overrides import Changes
from ppcls.config.schema import Config
from ppcls.data.batch_transforms import BATCH_TRANSFORMS
from ppcls.data.datasets import DATASETS
from ppcls.data.samplers import SAMPLERS
from ppcls.data.transforms import TRANSFORMS
from ppcls.engine.callbacks.registry import CALLBACKS
from ppcls.inference.postprocess import POSTPROCESSES
from ppcls.loss import LOSSES
from ppcls.metric import METRICS
from ppcls.optimizer import OPTIMIZERS, SCHEDULES
from ppcls.registry import Registry

REGISTRIES: Dict[str, Registry] = {
    "architecture": BACKBONES,
    "batch_transform": BATCH_TRANSFORMS,
    "callback": CALLBACKS,
    "dataset": DATASETS,
    "loss": LOSSES,
    "metric": METRICS,
    "optimizer": OPTIMIZERS,
    "postprocess": POSTPROCESSES,
    "sampler": SAMPLERS,
    "schedule": SCHEDULES,
    "transform": TRANSFORMS,
}


def load_config(
    recipe: Union[str, Path, Mapping[str, Any], Config],
    changes: Changes = (),
    *,
    complete: Optional[Completion] = None,
) -> Config:
    """Load a recipe with changes and check it against all registered components.

    Args:
        recipe: a file, the name of a shipped recipe, the recipe itself as nested dicts, or a loaded one.
        changes: ``["Global.epochs=3"]`` as on the command line, or ``{"Global.epochs": 3}``.
        complete: completes the changed recipe; see ``ppcls.config.loading.Completion``.

    Raises:
        ConfigError: every mistake at once, each with file and line or the change it came from.
    """
    return config.load(recipe, changes, registries=REGISTRIES, complete=complete, published=_published())


def _published() -> Set[str]:
    """Return the architectures with published weights."""
    return {name for name in list_models() if spec(name).url is not None}
