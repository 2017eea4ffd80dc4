"""The transforms that a recipe may name."""

from ppcls.config.registry import Registry

TRANSFORMS = Registry("transform", trial=dict)
# Transforms of a whole batch, such as mixup.
BATCH_TRANSFORMS = Registry("batch transform", trial=dict, planned=("MixupOperator", "CutmixOperator", "OpSampler"))
