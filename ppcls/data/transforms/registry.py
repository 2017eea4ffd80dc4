"""The transforms that a recipe may name."""

from ppcls.config.registry import Registry

TRANSFORMS = Registry("transform")
# Transforms of a whole batch, such as mixup.
BATCH_TRANSFORMS = Registry("batch transform")
