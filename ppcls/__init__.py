"""Vision MLPs on PaddlePaddle: train, fine-tune, evaluate and deploy ConvMLP, ConvMixer, gMLP and CycleMLP.

Importing this package imports nothing heavy; each public name is loaded when it is first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
# Public names that need no Paddle.
_LIGHT = {
    "Predictor": "ppcls.inference",
    "import_components": "ppcls.registry",
    "BATCH_TRANSFORMS": "ppcls.data.batch_transforms",
    "DATASETS": "ppcls.data.datasets",
    "SAMPLERS": "ppcls.data.samplers",
    "TRANSFORMS": "ppcls.data.transforms",
}
_MODULES = {
    **_LIGHT,
    "load_config": "ppcls.engine",
    "train": "ppcls.engine",
    "evaluate": "ppcls.engine",
    "evaluate_export": "ppcls.exporting",
    "infer": "ppcls.engine",
    "export": "ppcls.exporting",
    "create_model": "ppcls.weights",
    "create_transform": "ppcls.preprocessing",
    "list_models": "ppcls.arch",
    "load_weights": "ppcls.weights",
    "BACKBONES": "ppcls.arch",
    "CALLBACKS": "ppcls.engine.callbacks.registry",
    "LOSSES": "ppcls.loss",
    "METRICS": "ppcls.metric",
    "OPTIMIZERS": "ppcls.optimizer",
    "SCHEDULES": "ppcls.optimizer",
}
__all__ = [*sorted(_MODULES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ppcls' has no attribute {name!r}")
    from ppcls.utils import environment

    environment.prepare()  # before the first import of numpy and paddle
    if name not in _LIGHT:
        environment.import_paddle()
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> Any:
    return __all__
