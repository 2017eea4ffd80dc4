"""Write images into tar shards, for ``ppcls.data.datasets.shards``."""

from ppcls.data.packing.packing import pack
from ppcls.data.packing.plan import PackOptions

__all__ = ["PackOptions", "pack"]
