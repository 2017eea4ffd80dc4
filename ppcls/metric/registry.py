"""The table of metrics."""

from ppcls.config.registry import Registry

METRICS = Registry("metric", trial=dict)
