"""The registry of transforms."""

from ppcls.registry import Registry

TRANSFORMS = Registry("transform", trial=dict)
