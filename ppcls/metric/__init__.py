"""Metrics: what evaluation reports. NumPy only."""

from ppcls.metric.combined import CombinedMetric, build_metrics
from ppcls.metric.registry import METRICS
from ppcls.metric.topk import TopkAcc

__all__ = ["METRICS", "CombinedMetric", "TopkAcc", "build_metrics"]
