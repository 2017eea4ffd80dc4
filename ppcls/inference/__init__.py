"""Runs an exported model: no training code, no ``paddle.nn``."""

from typing import TYPE_CHECKING

from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.inference.predictor import Predictor

__all__ = ["Predictor"]

__getattr__, __dir__ = lazy_exports(__name__, {"Predictor": "ppcls.inference.predictor"})
