"""What happens when: training, evaluation, inference and export, as functions of a loaded recipe."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppcls.engine.evaluate import evaluate
    from ppcls.engine.export import export
    from ppcls.engine.infer import infer
    from ppcls.engine.registries import load_config
    from ppcls.engine.train import train

__all__ = ["evaluate", "export", "infer", "load_config", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "registries" if name == "load_config" else name
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
