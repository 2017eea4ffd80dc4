"""Data sets, image decoding, transforms, samplers and the data loader.

Nothing is imported here, so that ``ppcls.data.transforms`` can be used with numpy and OpenCV alone.
"""

from typing import TYPE_CHECKING

from ppcls.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from ppcls.data.build import build_dataset, build_loader, check_disjoint_shards, check_validation_split

__all__ = ["build_dataset", "build_loader", "check_disjoint_shards", "check_validation_split"]
__getattr__, __dir__ = lazy_exports(__name__, dict.fromkeys(__all__, "ppcls.data.build"))
