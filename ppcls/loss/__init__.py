"""Losses: what training minimises."""

from ppcls.loss.asymmetric import AsymmetricLossSingleLabel, MultiLabelAsymmetricLoss
from ppcls.loss.base import MULTI_LABEL, SINGLE_LABEL, Loss
from ppcls.loss.bce import BCELoss
from ppcls.loss.ce import CELoss, SoftTargetCrossEntropy
from ppcls.loss.combined import CombinedLoss, build_loss
from ppcls.loss.focal import FocalLoss
from ppcls.loss.multilabel import MultiLabelLoss
from ppcls.loss.registry import LOSSES

__all__ = [
    "LOSSES",
    "MULTI_LABEL",
    "SINGLE_LABEL",
    "AsymmetricLossSingleLabel",
    "BCELoss",
    "CELoss",
    "CombinedLoss",
    "FocalLoss",
    "Loss",
    "MultiLabelAsymmetricLoss",
    "MultiLabelLoss",
    "SoftTargetCrossEntropy",
    "build_loss",
]
