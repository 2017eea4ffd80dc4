"""Vision MLPs on PaddlePaddle: train, fine-tune, evaluate and deploy ConvMLP, ConvMixer, gMLP and CycleMLP.

Importing this package imports nothing heavy; each public name is loaded when it is first used.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
_MODULES = {
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
    "Predictor": "ppcls.inference",
}
__all__ = [*sorted(_MODULES), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'ppcls' has no attribute {name!r}")
    from ppcls.utils import environment

    environment.prepare()  # before the first import of numpy and paddle
    if name != "Predictor":
        environment.import_paddle()
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> Any:
    return __all__
