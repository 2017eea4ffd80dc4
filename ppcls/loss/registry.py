"""The table of losses."""

from ppcls.config.registry import Registry

LOSSES = Registry("loss", trial=dict, planned=("MultiLabelLoss",))
