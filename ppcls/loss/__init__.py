"""Losses: what training minimises."""

from ppcls.loss.base import Loss
from ppcls.loss.bce import BCELoss
from ppcls.loss.ce import CELoss, SoftTargetCrossEntropy
from ppcls.loss.combined import CombinedLoss, build_loss
from ppcls.loss.focal import FocalLoss
from ppcls.loss.jsd import JSDCrossEntropy, require_views
from ppcls.loss.registry import LOSSES
from ppcls.loss.views import MultiViewLoss

__all__ = [
    "LOSSES",
    "BCELoss",
    "CELoss",
    "CombinedLoss",
    "FocalLoss",
    "JSDCrossEntropy",
    "Loss",
    "MultiViewLoss",
    "SoftTargetCrossEntropy",
    "build_loss",
    "require_views",
]
