"""What the user wrote: recipes, their inheritance and overrides, checked against one schema.

Nothing is imported here, so that ``ppcls.registry`` can be used without pydantic and YAML.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppcls.config.loading import load, load_values
    from ppcls.config.schema import Config

_MODULES = {"load": "ppcls.config.loading", "load_values": "ppcls.config.loading", "Config": "ppcls.config.schema"}
__all__ = ["Config", "load", "load_values"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
