"""Layers that the families share."""

from ppcls.arch.layers.basic import activation, batch_norm2d, conv2d, linear
from ppcls.arch.layers.checkpointing import checkpointed

__all__ = ["activation", "batch_norm2d", "checkpointed", "conv2d", "linear"]
