"""What happens when: training, evaluation and inference, as functions of a loaded recipe."""

import importlib
from typing import TYPE_CHECKING, Any

from ppcls.utils import environment

if TYPE_CHECKING:
    from ppcls.engine.components import load_config
    from ppcls.engine.evaluation import evaluate
    from ppcls.engine.inference import infer
    from ppcls.engine.stages import train

environment.import_paddle()  # with care, and before a module of this package imports it without
_MODULES = {
    "evaluate": "evaluation",
    "infer": "inference",
    "load_config": "components",
    "train": "stages",
}
__all__ = ["evaluate", "infer", "load_config", "train"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
