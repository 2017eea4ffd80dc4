"""Metrics: what evaluation reports."""

from ppcls.metric.base import Metric
from ppcls.metric.combined import CombinedMetric, build_metrics
from ppcls.metric.distillation import DistillationTopkAcc
from ppcls.metric.registry import METRICS
from ppcls.metric.topk import TopkAcc

__all__ = ["METRICS", "CombinedMetric", "DistillationTopkAcc", "Metric", "TopkAcc", "build_metrics"]
