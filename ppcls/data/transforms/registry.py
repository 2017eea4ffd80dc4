"""The registry of transforms."""

from ppcls.registry import Registry

TRANSFORMS = Registry("transform", trial=dict, interface=("__call__",), base="a class that defines it")
