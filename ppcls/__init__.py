"""Vision MLPs on PaddlePaddle: train, fine-tune, evaluate and deploy ConvMLP, ConvMixer, gMLP and CycleMLP.

Importing this package imports nothing heavy; each public name is loaded when it is first used.
"""

from typing import TYPE_CHECKING, Any

from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.api import TrainResult as TrainResult
    from ppcls.api import evaluate as evaluate
    from ppcls.api import evaluate_export as evaluate_export
    from ppcls.api import export as export
    from ppcls.api import infer as infer
    from ppcls.api import load_run_config as load_run_config
    from ppcls.api import train as train
    from ppcls.arch import BACKBONES as BACKBONES
    from ppcls.arch import list_models as list_models
    from ppcls.data.batch_transforms import BATCH_TRANSFORMS as BATCH_TRANSFORMS
    from ppcls.data.datasets import DATASETS as DATASETS
    from ppcls.data.samplers import SAMPLERS as SAMPLERS
    from ppcls.data.transforms import TRANSFORMS as TRANSFORMS
    from ppcls.engine import load_config as load_config
    from ppcls.engine.callbacks.base import Callback as Callback
    from ppcls.engine.callbacks.registry import CALLBACKS as CALLBACKS
    from ppcls.errors import PpclsError as PpclsError
    from ppcls.inference import Predictor as Predictor
    from ppcls.loss import LOSSES as LOSSES
    from ppcls.metric import METRICS as METRICS
    from ppcls.optimizer import OPTIMIZERS as OPTIMIZERS
    from ppcls.optimizer import SCHEDULES as SCHEDULES
    from ppcls.prediction import embed as embed
    from ppcls.prediction import load_predictor as load_predictor
    from ppcls.preprocessing import create_transform as create_transform
    from ppcls.registry import import_components as import_components
    from ppcls.weights import create_model as create_model
    from ppcls.weights import load_weights as load_weights

__version__ = "0.1.0"
# Public names that need no Paddle.
_LIGHT = {
    "PpclsError": "ppcls.errors",
    "Predictor": "ppcls.inference",
    "embed": "ppcls.prediction",
    "import_components": "ppcls.registry",
    "load_predictor": "ppcls.prediction",
    "BATCH_TRANSFORMS": "ppcls.data.batch_transforms",
    "DATASETS": "ppcls.data.datasets",
    "SAMPLERS": "ppcls.data.samplers",
    "TRANSFORMS": "ppcls.data.transforms",
}
_MODULES = {
    **_LIGHT,
    "load_config": "ppcls.engine",
    "load_run_config": "ppcls.api",
    "train": "ppcls.api",
    "TrainResult": "ppcls.api",
    "Callback": "ppcls.engine.callbacks.base",
    "evaluate": "ppcls.api",
    "evaluate_export": "ppcls.api",
    "infer": "ppcls.api",
    "export": "ppcls.api",
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
_load, __dir__ = lazy_exports(__name__, _MODULES)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        from ppcls.utils import environment

        environment.prepare()  # before the first import of numpy and paddle
        if name not in _LIGHT:
            environment.import_paddle()
    return _load(name)
