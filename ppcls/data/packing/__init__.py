"""Writing images into shards, see ``ppcls.data.datasets.shards``."""

from ppcls.data.packing.packing import pack
from ppcls.data.packing.plan import Settings

__all__ = ["Settings", "pack"]
