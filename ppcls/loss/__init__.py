"""Losses: what training minimises."""

from ppcls.loss.base import Loss
from ppcls.loss.bce import BCELoss
from ppcls.loss.ce import CELoss, SoftTargetCrossEntropy
from ppcls.loss.combined import CombinedLoss, build_loss
from ppcls.loss.distillation import (
    STUDENT,
    DistillationCELoss,
    DistillationDMLLoss,
    DistillationGTCELoss,
    DistillationKLDivLoss,
    DistillationLoss,
    HardDistillationLoss,
)
from ppcls.loss.focal import FocalLoss
from ppcls.loss.logit_distillation import (
    DistillationDISTLoss,
    DistillationDKDLoss,
    DistillationSKDLoss,
    DistillationWSLLoss,
)
from ppcls.loss.registry import LOSSES

__all__ = [
    "LOSSES",
    "STUDENT",
    "BCELoss",
    "CELoss",
    "CombinedLoss",
    "DistillationCELoss",
    "DistillationDISTLoss",
    "DistillationDKDLoss",
    "DistillationDMLLoss",
    "DistillationGTCELoss",
    "DistillationKLDivLoss",
    "DistillationLoss",
    "DistillationSKDLoss",
    "DistillationWSLLoss",
    "FocalLoss",
    "HardDistillationLoss",
    "Loss",
    "SoftTargetCrossEntropy",
    "build_loss",
]
