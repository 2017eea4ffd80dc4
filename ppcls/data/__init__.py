"""Data sets, image decoding, transforms, samplers and the data loader.

Nothing is imported here, so that ``ppcls.data.transforms`` can be used with numpy and OpenCV alone.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppcls.data.build import build_dataset, build_loader, check_disjoint_shards, check_validation_split

__all__ = ["build_dataset", "build_loader", "check_disjoint_shards", "check_validation_split"]
_MODULES = dict.fromkeys(__all__, "ppcls.data.build")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
