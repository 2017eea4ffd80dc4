"""The transforms that a recipe may name."""

from ppcls.config.registry import Registry

TRANSFORMS = Registry("transform", trial=dict)
