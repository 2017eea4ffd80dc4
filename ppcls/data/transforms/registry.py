"""The registry of transforms."""

from ppcls.registry import Registry

TRANSFORMS = Registry("transform", trial_arguments=dict, interface=("__call__",), base="a class that defines it")
