"""A trained model as files for Paddle Inference and ONNX Runtime, with everything needed to use them."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppcls.exporting.comparison import TOLERANCES
    from ppcls.exporting.evaluation import evaluate_export
    from ppcls.exporting.exporter import export
    from ppcls.exporting.options import Options

_MODULES = {"TOLERANCES": "comparison", "Options": "options", "evaluate_export": "evaluation", "export": "exporter"}
__all__ = ["TOLERANCES", "Options", "evaluate_export", "export"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
