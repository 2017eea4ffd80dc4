"""What happens when: training, evaluation, inference and export, as functions of a loaded recipe."""

import importlib
from typing import TYPE_CHECKING, Any

from ppcls.utils import environment

if TYPE_CHECKING:
    from ppcls.engine.evaluation import evaluate
    from ppcls.engine.exported import evaluate_export
    from ppcls.engine.exporting import export
    from ppcls.engine.inference import infer
    from ppcls.engine.registries import load_config
    from ppcls.engine.stages import train

environment.import_paddle()  # with care, and before a module of this package imports it without
_HOMES = {
    "evaluate": "evaluation",
    "evaluate_export": "exported",
    "export": "exporting",
    "infer": "inference",
    "load_config": "registries",
    "train": "stages",
}
__all__ = ["evaluate", "evaluate_export", "export", "infer", "load_config", "train"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
