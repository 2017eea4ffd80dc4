"""Metrics: what evaluation reports."""

from ppcls.metric.base import Metric
from ppcls.metric.calibration import CalibrationError
from ppcls.metric.combined import CombinedMetric, build_metrics
from ppcls.metric.confusion import ConfusionMatrix
from ppcls.metric.distillation import DistillationTopkAcc
from ppcls.metric.multilabel import AccuracyScore, ATTRMetric, HammingDistance, MultilabelMeanAccuracy
from ppcls.metric.precision_recall import F1, BalancedAccuracy, Precision, Recall
from ppcls.metric.ranking import MeanAveragePrecision, MultiLabelMAP, TprAtFpr
from ppcls.metric.registry import METRICS
from ppcls.metric.topk import TopkAcc

__all__ = [
    "F1",
    "METRICS",
    "ATTRMetric",
    "AccuracyScore",
    "BalancedAccuracy",
    "CalibrationError",
    "CombinedMetric",
    "ConfusionMatrix",
    "DistillationTopkAcc",
    "HammingDistance",
    "MeanAveragePrecision",
    "Metric",
    "MultiLabelMAP",
    "MultilabelMeanAccuracy",
    "Precision",
    "Recall",
    "TopkAcc",
    "TprAtFpr",
    "build_metrics",
]
