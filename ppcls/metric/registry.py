"""The table of metrics."""

from ppcls.registry import Registry

METRICS = Registry("metric", trial_arguments=dict)
