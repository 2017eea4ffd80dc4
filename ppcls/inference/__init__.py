"""Runs an exported model: no training code, no ``paddle.nn``."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppcls.inference.predictor import Predictor

__all__ = ["Predictor"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("ppcls.inference.predictor"), name)
